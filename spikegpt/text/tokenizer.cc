#include "spikegpt/text/tokenizer.h"

#include <array>
#include <nlohmann/json.hpp>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/text/bpe_tokenizer.h"
#include "spikegpt/text/byte_tokenizer.h"
#include "spikegpt/text/char_tokenizer.h"
#include "spikegpt/text/json_file.h"

namespace spikegpt {
namespace {

// Everything that makes a tokenizer out of a corpus. A new kind is one line here.
struct Maker {
  std::string_view kind;
  std::unique_ptr<Tokenizer> (*make)(std::string_view corpus);
};
constexpr std::array kMakers = {
    Maker{"bytes", [](std::string_view) -> std::unique_ptr<Tokenizer> { return std::make_unique<ByteTokenizer>(); }},
    Maker{"chars",
          [](std::string_view corpus) -> std::unique_ptr<Tokenizer> { return CharTokenizer::from_corpus(corpus); }},
};

std::unique_ptr<Tokenizer> load_file(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  refuse_foreign(mapped.text(), file);
  std::string text(PlainText(mapped.text(), file.string(), {.line_feeds = false}).text());
  const nlohmann::json root = parse_json(text, file.string());
  if (!root.is_object() || !root.contains("spikegpt_tokenizer")) {
    const bool bpe = root.contains("model") || file.filename() == "tokenizer.json";
    if (!bpe) return CharTokenizer::load(file);
    return BpeTokenizer::make(read_bpe(root, file.string()), std::move(text));
  }
  if (root["spikegpt_tokenizer"] == "bytes") return std::make_unique<ByteTokenizer>();
  throw Error(ErrorKind::kUnsupported, "{}: \"spikegpt_tokenizer\" is {}, this program knows \"bytes\"", file.string(),
              show_text(root["spikegpt_tokenizer"].dump()));
}

}  // namespace

Unknowns Tokenizer::encode_into(std::string_view text, const TokenSink& sink) const {
  Unknowns unknowns;
  TextCursor cursor(text);
  encode_into(text, sink,
              [&](const Unknown& unknown) { unknowns.add(unknown.shown, place_in_text(cursor, unknown)); });
  return unknowns;
}

Encoding Tokenizer::encode(std::string_view text) const {
  Encoding encoding;
  encoding.unknowns = encode_into(text, [&](std::span<const TokenId> ids) {
    encoding.ids.insert(encoding.ids.end(), ids.begin(), ids.end());
  });
  return encoding;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) {
    throw Error(ErrorKind::kInvalidArgument, "token id {} is outside the vocabulary of {} {}s", id, vocab_size(),
                unit());
  }
  return tokens_[static_cast<std::size_t>(id)];
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id);
  return text;
}

std::optional<std::filesystem::path> find_tokenizer(const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer.json", "vocab.json"}) {
    std::error_code unreadable;
    if (std::filesystem::exists(folder / name, unreadable)) return folder / name;
  }
  return std::nullopt;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder_or_file) {
  std::error_code unreadable;
  if (!std::filesystem::is_directory(folder_or_file, unreadable)) return load_file(folder_or_file);
  if (const auto file = find_tokenizer(folder_or_file)) return load_file(*file);
  throw Error(ErrorKind::kNotFound, "{} holds no tokenizer: neither tokenizer.json nor vocab.json",
              folder_or_file.string());
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder_or_file,
                                          std::int64_t vocab_size) {
  auto tokenizer = load_tokenizer(folder_or_file);
  check_vocabulary(folder_or_file.string(), *tokenizer, vocab_size);
  return tokenizer;
}

void check_vocabulary(std::string_view where, const Tokenizer& tokenizer, std::int64_t vocab_size) {
  if (tokenizer.vocab_size() <= vocab_size) return;
  throw Error(
      ErrorKind::kInvalidArgument,
      "{}: the tokenizer has {} tokens, the model's vocabulary {}; is it the tokenizer of another model?",
      where, tokenizer.vocab_size(), vocab_size);
}

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view kind, std::string_view corpus) {
  for (const Maker& maker : kMakers) {
    if (maker.kind == kind) return maker.make(corpus);
  }
  throw Error(ErrorKind::kInvalidArgument, "unknown tokenizer \"{}\"; known: {}", show_text(kind),
              fmt::join(tokenizer_kinds(), ", "));
}

std::vector<std::string_view> tokenizer_kinds() {
  std::vector<std::string_view> kinds;
  for (const Maker& maker : kMakers) kinds.push_back(maker.kind);
  return kinds;
}

}  // namespace spikegpt
