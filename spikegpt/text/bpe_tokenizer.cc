#include "spikegpt/text/bpe_tokenizer.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr std::size_t kIdsAtOnce = 1 << 14;
constexpr std::size_t kBlockBytes = 1 << 20;  // text looked at in one go, where it may be cut
constexpr std::size_t kCachedWordBytes = 64;  // longer words hardly come twice
constexpr std::size_t kCachedWords = 1 << 17;

constexpr std::array<std::string_view, 4> kEndOfText = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};

constexpr bool is_ascii_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::vector<AddedToken> select_added(const BpeDefinition& definition, bool normalized) {
  std::vector<AddedToken> selected;
  for (AddedToken token : definition.added) {
    if (token.normalized != normalized) continue;
    if (normalized) {
      std::string storage;
      token.content = std::string(normalize(definition.normal_form, token.content, storage));
    }
    selected.push_back(std::move(token));
  }
  return selected;
}

std::vector<std::unique_ptr<WordSplitter>> make_splitters(const BpeDefinition& definition) {
  std::vector<std::unique_ptr<WordSplitter>> splitters;
  for (const std::string& pattern : definition.patterns) {
    splitters.push_back(make_regex_splitter(pattern));
  }
  if (definition.gpt2_words) splitters.push_back(std::make_unique<Gpt2Splitter>());
  return splitters;
}

// True when no added token reaches over the place where a block may end.
bool cuts_no_token(const std::vector<AddedToken>& tokens) {
  return std::none_of(tokens.begin(), tokens.end(), [](const AddedToken& token) {
    const std::string& text = token.content;
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      if (is_ascii_letter(text[i]) && (text[i + 1] == ' ' || text[i + 1] == '\n')) return true;
    }
    return token.rstrip;
  });
}

}  // namespace

// Encodes one text: owns what changes while that happens.
class BpeTokenizer::Encoder {
 public:
  Encoder(const BpeTokenizer& tokenizer, const TokenSink& sink, const UnknownSink& unknown)
      : tokenizer_(tokenizer), sink_(sink), unknown_(unknown), merger_(tokenizer.merges_) {
    ids_.reserve(kIdsAtOnce + 64);
  }

  // `offset` is where the block begins in the text.
  void encode_block(std::string_view text, std::size_t offset) {
    block_ = text;
    block_offset_ = offset;
    TextPiece piece;
    AddedTokenFinder::Cursor cursor(tokenizer_.raw_tokens_, text);
    while (cursor.next(piece)) {
      if (piece.token >= 0) {
        put(piece.token);
      } else {
        encode_raw(piece.text);
      }
    }
  }

  void finish() { flush(); }

 private:
  void encode_raw(std::string_view text) {
    text = normalize(tokenizer_.definition_.normal_form, text, normalized_);
    TextPiece piece;
    AddedTokenFinder::Cursor cursor(tokenizer_.normalized_tokens_, text);
    while (cursor.next(piece)) {
      if (piece.token >= 0) {
        put(piece.token);
      } else {
        split(piece.text, 0);
      }
    }
  }

  // The patterns cut first, what they leave gets the prefix space, and is cut into words.
  void split(std::string_view text, std::size_t level) {
    const BpeDefinition& definition = tokenizer_.definition_;
    if (level == definition.patterns.size() && definition.add_prefix_space && !text.starts_with(' ')) {
      unprefixed_ = text;
      prefixed_.assign(1, ' ').append(text);
      text = prefixed_;
    }
    if (level == tokenizer_.splitters_.size()) {
      encode_word(text);
      return;
    }
    tokenizer_.splitters_[level]->split(text, [this, level](std::string_view part) { split(part, level + 1); });
  }

  void encode_word(std::string_view word) {
    const auto whole = tokenizer_.whole_words_.find(word);
    if (whole != tokenizer_.whole_words_.end()) {
      put(whole->second);
      return;
    }
    if (word.size() > kCachedWordBytes) {
      merge_word(word);
      put(symbols_);
      return;
    }
    const auto cached = cache_.find(key_.assign(word));
    if (cached != cache_.end()) {
      put(cached->second);
      return;
    }
    const bool known = merge_word(word);
    put(symbols_);
    if (!known) return;  // each time it stands there, it counts
    if (cache_.size() >= kCachedWords) cache_.clear();
    cache_.emplace(key_, symbols_);
  }

  // Returns whether the vocabulary has all of its bytes.
  bool merge_word(std::string_view word) {
    symbols_.clear();
    bool known = true;
    for (const char c : word) {
      const TokenId id = tokenizer_.byte_ids_[static_cast<unsigned char>(c)];
      if (id >= 0) {
        symbols_.push_back(id);
        continue;
      }
      known = false;
      if (tokenizer_.definition_.unk_token) symbols_.push_back(*tokenizer_.definition_.unk_token);
    }
    if (!known) report_unknown(word);
    merger_.merge(symbols_);
    return known;
  }

  // Every character of which a byte is missing.
  void report_unknown(std::string_view word) {
    for (std::size_t at = 0; at < word.size();) {
      const Utf8Step step = decode_utf8(word.substr(at));
      const std::string_view bytes = word.substr(at, static_cast<std::size_t>(step.length));
      const bool known = std::all_of(bytes.begin(), bytes.end(), [&](char c) {
        return tokenizer_.byte_ids_[static_cast<unsigned char>(c)] >= 0;
      });
      const std::string shown = show_character(bytes, step);
      if (!known) unknown_({handed_over_ + std::ssize(ids_), offset_of(bytes), shown});
      at += bytes.size();
    }
  }

  // Where bytes of a word stand in the text; nothing for those that a normal form made.
  std::optional<std::size_t> offset_of(std::string_view bytes) const {
    const char* at = bytes.data();
    if (is_within(at, prefixed_)) at = unprefixed_.data() + (at - prefixed_.data()) - 1;
    if (!is_within(at, block_)) return std::nullopt;
    return block_offset_ + static_cast<std::size_t>(at - block_.data());
  }
  static bool is_within(const char* at, std::string_view text) {
    const std::less<> before;
    return !before(at, text.data()) && before(at, text.data() + text.size());
  }

  void put(TokenId id) {
    ids_.push_back(id);
    if (ids_.size() >= kIdsAtOnce) flush();
  }
  void put(const std::vector<TokenId>& ids) {
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    if (ids_.size() >= kIdsAtOnce) flush();
  }
  void flush() {
    if (!ids_.empty()) sink_(ids_);
    handed_over_ += std::ssize(ids_);
    ids_.clear();
  }

  const BpeTokenizer& tokenizer_;
  const TokenSink& sink_;
  const UnknownSink& unknown_;
  WordMerger merger_;
  std::string_view block_;
  std::size_t block_offset_ = 0;
  std::int64_t handed_over_ = 0;  // ids
  std::vector<TokenId> ids_;
  std::vector<TokenId> symbols_;
  std::string normalized_;
  std::string prefixed_;
  std::string_view unprefixed_;
  std::string key_;
  std::unordered_map<std::string, std::vector<TokenId>> cache_;
};

std::unique_ptr<BpeTokenizer> BpeTokenizer::parse(std::string text, const std::string& name) {
  BpeDefinition definition = read_bpe(parse_json(text, name), name);
  return make(std::move(definition), std::move(text));
}

std::unique_ptr<BpeTokenizer> BpeTokenizer::make(BpeDefinition definition, std::string text) {
  return std::unique_ptr<BpeTokenizer>(new BpeTokenizer(std::move(definition), std::move(text)));
}

BpeTokenizer::BpeTokenizer(BpeDefinition definition, std::string text)
    : Tokenizer(definition.tokens),
      definition_(std::move(definition)),
      file_(std::move(text)),
      merges_(definition_.merges),
      raw_tokens_(select_added(definition_, false)),
      normalized_tokens_(select_added(definition_, true)),
      splitters_(make_splitters(definition_)) {
  byte_ids_.fill(-1);
  index_words();
  definition_.tokens = {};  // the base class and the table have them
  definition_.merges = {};
  for (const std::string_view content : kEndOfText) {
    if (!end_of_text_) end_of_text_ = find_added_token(content);
  }
  may_cut_ = splitters_.size() == 1 && splitters_[0]->may_cut_behind_letters() && cuts_no_token(definition_.added);
}

void BpeTokenizer::index_words() {
  std::vector<TokenId> merged;  // the tokens that merging can make
  for (TokenId token = 0; token < vocab_size(); ++token) {
    if (!definition_.beside_merging[static_cast<std::size_t>(token)]) merged.push_back(token);
  }
  for (const TokenId token : merged) {
    const std::string_view bytes = token_bytes(token);
    if (bytes.size() == 1) byte_ids_[static_cast<unsigned char>(bytes[0])] = token;
  }
  WordMerger merger(merges_);
  std::vector<TokenId> symbols;
  for (const TokenId token : merged) {
    const std::string_view bytes = token_bytes(token);
    symbols.clear();
    for (const char c : bytes) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    if (!definition_.ignore_merges) merger.merge(symbols);
    if (definition_.ignore_merges || symbols == std::vector<TokenId>{token}) {
      whole_words_.emplace(bytes, token);
    }
  }
}

std::size_t BpeTokenizer::block_end(std::string_view text) const {
  if (!may_cut_ || text.size() <= kBlockBytes) return text.size();
  for (std::size_t at = kBlockBytes; at < text.size(); ++at) {
    // A line feed at the start of a block would get the prefix space.
    const bool space = text[at] == ' ' || (text[at] == '\n' && !definition_.add_prefix_space);
    if (space && is_ascii_letter(text[at - 1])) return at;
  }
  return text.size();
}

void BpeTokenizer::encode_into(std::string_view text, const TokenSink& sink,
                               const UnknownSink& unknown) const {
  Encoder encoder(*this, sink, unknown);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = block_end(text.substr(at));
    encoder.encode_block(text.substr(at, end), at);
    at += end;
  }
  encoder.finish();
}

std::optional<TokenId> BpeTokenizer::find_added_token(std::string_view content) const {
  for (const AddedToken& token : definition_.added) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

void BpeTokenizer::save(const std::filesystem::path& folder) const {
  write_text_atomically(folder / "tokenizer.json", file_);
}

}  // namespace spikegpt
