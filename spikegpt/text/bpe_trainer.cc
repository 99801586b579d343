#include "spikegpt/text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "spikegpt/core/error.h"
#include "spikegpt/text/byte_characters.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/normalizer.h"
#include "spikegpt/text/pair_counts.h"
#include "spikegpt/text/word_splitter.h"

namespace spikegpt {
namespace {

constexpr std::size_t kLongestWord = 256;
constexpr std::int64_t kMergesPerReport = 64;
constexpr std::int64_t kMostTokens = 16'777'216;

// Bytes in the order their characters have, which is the order of their ids.
std::array<unsigned char, 256> bytes_by_character() {
  std::array<unsigned char, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i);
  std::sort(bytes.begin(), bytes.end(),
            [](unsigned char a, unsigned char b) { return character_of_byte(a) < character_of_byte(b); });
  return bytes;
}

// The vocabulary as it grows.
class Learned {
 public:
  TokenId add(const std::string& spelling) {
    // Two merges can make the same token: "a" + "bc" and "ab" + "c".
    const auto [entry, is_new] = ids_.emplace(spelling, static_cast<TokenId>(spellings_.size()));
    if (is_new) spellings_.push_back(spelling);
    return entry->second;
  }
  TokenId add_merge(TokenId left, TokenId right) {
    const TokenId result = add(fmt::format("{}{}", spelling(left), spelling(right)));
    merges_.push_back({left, right, result});
    return result;
  }
  const std::string& spelling(TokenId id) const { return spellings_[static_cast<std::size_t>(id)]; }
  TokenId id_of(const std::string& spelling) const { return ids_.at(spelling); }
  const std::vector<std::string>& spellings() const { return spellings_; }
  const std::vector<Merge>& merges() const { return merges_; }
  std::int64_t size() const { return static_cast<std::int64_t>(spellings_.size()); }

 private:
  std::vector<std::string> spellings_;  // by id
  std::vector<Merge> merges_;
  std::unordered_map<std::string, TokenId> ids_;
};

nlohmann::ordered_json special_token(const std::string& content, std::size_t id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

std::string to_json(const Learned& learned, const std::vector<std::string>& special_tokens) {
  const nlohmann::ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  nlohmann::ordered_json root = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = nlohmann::ordered_json::array();
  for (std::size_t id = 0; id < special_tokens.size(); ++id) {
    root["added_tokens"].push_back(special_token(special_tokens[id], id));
  }
  root["normalizer"] = {{"type", "NFC"}};
  root["pre_tokenizer"] = root["post_processor"] = root["decoder"] = byte_level;
  nlohmann::ordered_json model = {{"type", "BPE"},
                                  {"dropout", nullptr},
                                  {"unk_token", nullptr},
                                  {"continuing_subword_prefix", nullptr},
                                  {"end_of_word_suffix", nullptr},
                                  {"fuse_unk", false},
                                  {"byte_fallback", false},
                                  {"ignore_merges", false}};
  // An ordered object looks every new key up among all before it: too slow for a vocabulary.
  std::string vocabulary;
  for (const std::string& spelling : learned.spellings()) {
    const TokenId id = learned.id_of(spelling);
    vocabulary += fmt::format("{}{}:{}", id == 0 ? "" : ",", nlohmann::json(spelling).dump(), id);
  }
  std::string merges;
  for (const Merge& merge : learned.merges()) {
    const std::string line = fmt::format("{} {}", learned.spelling(merge.left), learned.spelling(merge.right));
    merges += fmt::format("{}{}", merges.empty() ? "" : ",", nlohmann::json(line).dump());
  }
  std::string head = root.dump();
  head.pop_back();  // the closing brace: "model" comes last
  std::string body = model.dump();
  body.pop_back();
  return fmt::format("{},\"model\":{},\"vocab\":{{{}}},\"merges\":[{}]}}}}\n", head, body, vocabulary, merges);
}

}  // namespace

BpeTrainer::BpeTrainer(BpeTrainerOptions options) : options_(std::move(options)) {
  const auto least = static_cast<std::int64_t>(options_.special_tokens.size()) + 256;
  if (options_.vocab_size < least || options_.vocab_size > kMostTokens) {
    throw Error(ErrorKind::kInvalidArgument,
                "a byte-level BPE of {} tokens cannot be trained: 256 bytes and {} special tokens make "
                "{} at least, {} is the most",
                options_.vocab_size, options_.special_tokens.size(), least, kMostTokens);
  }
  std::set<std::string> seen;
  for (const std::string& token : options_.special_tokens) {
    if (token.size() < 2 || token.size() > 1000 || !seen.insert(token).second) {
      throw Error(ErrorKind::kInvalidArgument,
                  "the special token \"{}\" cannot be used: it must have 2 to 1000 bytes and be given "
                  "once",
                  show_text(token));
    }
  }
}

void BpeTrainer::count_word(std::string_view word) {
  while (!word.empty()) {
    const std::string_view part = word.substr(0, kLongestWord);
    const auto found = counts_.find(part);
    if (found != counts_.end()) {
      ++found->second;
    } else {
      counts_.emplace(part, 1);
    }
    word.remove_prefix(part.size());
  }
}

void BpeTrainer::add(std::string_view text) {
  text = normalize(NormalForm::kNfc, text, normalized_);
  while (!text.empty()) {
    const std::size_t length = Gpt2Splitter::first_word(text);
    count_word(text.substr(0, length));
    text.remove_prefix(length);
  }
}

std::string BpeTrainer::train(const Progress& progress) const {
  if (counts_.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "there is no text to train a tokenizer on");
  }
  Learned learned;
  for (const std::string& token : options_.special_tokens) learned.add(token);
  std::array<TokenId, 256> byte_ids{};
  for (const unsigned char byte : bytes_by_character()) {
    byte_ids[byte] = learned.add(spell_bytes(std::string(1, static_cast<char>(byte))));
  }
  std::vector<CountedWord> words;
  for (const auto& [text, count] : counts_) {
    CountedWord word{{}, count};
    for (const char c : text) word.symbols.push_back(byte_ids[static_cast<unsigned char>(c)]);
    words.push_back(std::move(word));
  }
  PairCounts pairs(std::move(words));
  const std::int64_t first = learned.size();
  const std::int64_t wanted = options_.vocab_size - first;
  while (learned.size() < options_.vocab_size) {
    const std::int64_t done = learned.size() - first;
    if (progress && done % kMergesPerReport == 0) progress(done, wanted);
    const auto best = pairs.best();
    if (!best || best->count < options_.min_frequency) break;
    pairs.merge(*best, learned.add_merge(best->left, best->right));
  }
  if (progress) progress(learned.size() - first, wanted);
  return to_json(learned, options_.special_tokens);
}

}  // namespace spikegpt
