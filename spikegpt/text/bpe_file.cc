#include "spikegpt/text/bpe_file.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/text/bpe_pipeline.h"
#include "spikegpt/text/byte_characters.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/json_place.h"

namespace spikegpt {
namespace {

using nlohmann::json;
using Ids = std::unordered_map<std::string, TokenId>;  // by spelling, as the file writes it

constexpr std::size_t kMaxTokens = 100'000'000;
constexpr std::size_t kMaxAddedTokenBytes = 1024;

Ids read_vocabulary(const JsonPlace& vocabulary) {
  const json& object = vocabulary.object();
  if (object.empty() || object.size() > kMaxTokens) {
    throw Error(ErrorKind::kCorruptFile, "{} has {} tokens", vocabulary.name(), object.size());
  }
  Ids ids;
  ids.reserve(object.size());
  for (const auto& [spelling, value] : object.items()) {
    const JsonPlace place = vocabulary.member(spelling, value);
    if (spelling.empty()) throw Error(ErrorKind::kCorruptFile, "{}: an empty token", place.name());
    ids.emplace(spelling, static_cast<TokenId>(place.integer(0, kMaxTokens)));
  }
  return ids;
}

std::pair<std::string, std::string> read_pair(const JsonPlace& place) {
  if (place.value().is_array()) {
    const json& pair = place.value();
    if (pair.size() == 2) {
      return {place.element(0).text(), place.element(1).text()};
    }
  } else {
    const std::string& line = place.text();
    const std::size_t space = line.find(' ');
    if (space != std::string::npos && space > 0 && space + 1 < line.size() &&
        line.find(' ', space + 1) == std::string::npos) {
      return {line.substr(0, space), line.substr(space + 1)};
    }
  }
  throw Error(ErrorKind::kCorruptFile, "{} is {}; expected two tokens, \"a b\" or [\"a\", \"b\"]", place.name(),
              show_text(place.value().dump()));
}

TokenId id_of(const Ids& ids, const std::string& spelling, const JsonPlace& place) {
  const auto found = ids.find(spelling);
  if (found != ids.end()) return found->second;
  throw Error(ErrorKind::kCorruptFile, "{} ({}): the token \"{}\" is not in the vocabulary", place.name(),
              show_text(place.value().dump()), show_text(spelling));
}

std::vector<Merge> read_merges(const JsonPlace& list, const Ids& ids) {
  std::vector<Merge> merges;
  const std::size_t count = list.array().size();
  merges.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const JsonPlace place = list.element(i);
    const auto [left, right] = read_pair(place);
    merges.push_back({id_of(ids, left, place), id_of(ids, right, place), id_of(ids, left + right, place)});
  }
  return merges;
}

AddedToken read_added_token(const JsonPlace& place) {
  AddedToken token;
  token.id = static_cast<TokenId>(place.at("id").integer(0, kMaxTokens));
  token.content = place.at("content").text();
  token.special = place.flag("special", false);
  token.single_word = place.flag("single_word", false);
  token.lstrip = place.flag("lstrip", false);
  token.rstrip = place.flag("rstrip", false);
  token.normalized = place.flag("normalized", !token.special);
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
    throw Error(ErrorKind::kCorruptFile, "{}: content of {} bytes; expected 1 to {}", place.name(),
                token.content.size(), kMaxAddedTokenBytes);
  }
  return token;
}

// Puts a token at its id; `where` says what claims the id.
void place_token(BpeDefinition& bpe, std::vector<bool>& taken, TokenId id, std::string bytes,
                 const std::string& where) {
  const auto at = static_cast<std::size_t>(id);
  if (at >= taken.size() || taken[at]) {
    throw Error(ErrorKind::kCorruptFile, "{} has the id {}, {}; ids must be 0 to {}, each once", where, id,
                at >= taken.size() ? "which leaves a gap" : "which another token has", taken.size() - 1);
  }
  taken[at] = true;
  bpe.tokens[at] = std::move(bytes);
}

void place_tokens(BpeDefinition& bpe, const Ids& ids, const std::string& file) {
  std::size_t count = ids.size();
  for (const AddedToken& token : bpe.added) count += ids.count(token.content) == 0 ? 1 : 0;
  std::vector<bool> taken(count);
  bpe.tokens.resize(count);
  bpe.beside_merging.resize(count);
  for (const auto& [spelling, id] : ids) {
    const std::optional<std::string> bytes = bytes_of_spelling(spelling);
    place_token(bpe, taken, id, bytes.value_or(spelling),
                fmt::format("{}: the token \"{}\" of model.vocab", file, show_text(spelling)));
    bpe.beside_merging[static_cast<std::size_t>(id)] = !bytes;
  }
  for (const AddedToken& token : bpe.added) {
    const std::string where = fmt::format("{}: the added token \"{}\"", file, show_text(token.content));
    const auto known = ids.find(token.content);
    if (known == ids.end()) {
      place_token(bpe, taken, token.id, token.content, where);
    } else if (known->second != token.id) {
      throw Error(ErrorKind::kCorruptFile, "{} has the id {}, in model.vocab it has {}", where, token.id,
                  known->second);
    } else {
      bpe.tokens[static_cast<std::size_t>(token.id)] = token.content;
    }
    bpe.beside_merging[static_cast<std::size_t>(token.id)] = true;
  }
}

// A token that no merge makes could never be written: a sign that merges are missing.
void check_reachable(const BpeDefinition& bpe, const std::string& file) {
  std::vector<bool> reachable = bpe.beside_merging;
  for (const Merge& merge : bpe.merges) reachable[static_cast<std::size_t>(merge.result)] = true;
  if (bpe.unk_token) reachable[static_cast<std::size_t>(*bpe.unk_token)] = true;
  for (std::size_t id = 0; id < bpe.tokens.size(); ++id) {
    if (reachable[id] || bpe.tokens[id].size() == 1) continue;
    throw Error(ErrorKind::kCorruptFile,
                "{}: no merge makes token {} (\"{}\"), and it is no added token: model.merges is not "
                "complete ({} merges for {} tokens)",
                file, id, show_text(spell_bytes(bpe.tokens[id])), bpe.merges.size(), bpe.tokens.size());
  }
}

void refuse_other_models(const JsonPlace& model) {
  if (const json* type = model.find("type"); type != nullptr && *type != "BPE") {
    throw Error(ErrorKind::kUnsupported, "{}.type is {}; this program reads byte-level \"BPE\"", model.name(),
                show_text(type->dump()));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json* affix = model.find(key);
    if (affix != nullptr && !affix->is_null() && *affix != "") {
      throw Error(ErrorKind::kUnsupported, "{}.{} is {}; a byte-level BPE has none", model.name(), key,
                  show_text(affix->dump()));
    }
  }
  if (const json* dropout = model.find("dropout"); dropout != nullptr && !dropout->is_null() && *dropout != 0) {
    throw Error(ErrorKind::kUnsupported, "{}.dropout is {}; only null is supported", model.name(),
                show_text(dropout->dump()));
  }
  if (model.flag("byte_fallback", false)) {
    throw Error(ErrorKind::kUnsupported, "{}.byte_fallback is true; only byte-level BPE is supported", model.name());
  }
}

void read_added_tokens(const JsonPlace& root, BpeDefinition& bpe) {
  const json* list = root.find("added_tokens");
  if (list == nullptr || list->is_null()) return;
  const JsonPlace place = root.at("added_tokens");
  for (std::size_t i = 0; i < place.array().size(); ++i) {
    bpe.added.push_back(read_added_token(place.element(i)));
  }
  Ids seen;
  for (const AddedToken& token : bpe.added) {
    if (!seen.emplace(token.content, token.id).second) {
      throw Error(ErrorKind::kCorruptFile, "{}: the token \"{}\" stands twice", place.name(), show_text(token.content));
    }
  }
}

}  // namespace

BpeDefinition read_bpe(const json& document, const std::string& file) {
  const JsonPlace root(document, file + ": the document");
  if (root.find("model") == nullptr) {
    throw Error(ErrorKind::kUnsupported,
                "{}: no tokenizer this program knows (neither \"model\" nor \"spikegpt_tokenizer\")", file);
  }
  const JsonPlace model = root.at("model").renamed(file + ": model");
  model.object();
  refuse_other_models(model);
  BpeDefinition bpe;
  read_pipeline(root, file, bpe);
  const Ids ids = read_vocabulary(model.at("vocab"));
  read_added_tokens(root.renamed(file), bpe);
  place_tokens(bpe, ids, file);
  bpe.merges = read_merges(model.at("merges"), ids);
  bpe.ignore_merges = model.flag("ignore_merges", false);
  if (const json* unknown = model.find("unk_token"); unknown != nullptr && !unknown->is_null() && *unknown != "") {
    const JsonPlace place = model.at("unk_token");
    bpe.unk_token = id_of(ids, place.text(), place);
  }
  if (!bpe.ignore_merges) check_reachable(bpe, file);
  return bpe;
}

}  // namespace spikegpt
