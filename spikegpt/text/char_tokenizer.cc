#include "spikegpt/text/char_tokenizer.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "spikegpt/core/error.h"
#include "spikegpt/text/utf8.h"
#include "spikegpt/text/vocabulary_file.h"

namespace spikegpt {
namespace {

constexpr std::size_t kBlock = 1 << 14;  // ids handed over at once

std::vector<std::string> as_utf8(const std::vector<char32_t>& vocabulary) {
  std::vector<std::string> tokens(vocabulary.size());
  for (std::size_t id = 0; id < vocabulary.size(); ++id) append_utf8(tokens[id], vocabulary[id]);
  return tokens;
}

}  // namespace

CharTokenizer::CharTokenizer(std::vector<char32_t> vocabulary)
    : Tokenizer(as_utf8(vocabulary)), vocabulary_(std::move(vocabulary)) {
  if (vocabulary_.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "a character vocabulary needs at least one character");
  }
  const char32_t largest = *std::max_element(vocabulary_.begin(), vocabulary_.end());
  ensure(largest <= 0x10FFFF, "a character vocabulary holds code points");
  id_of_.assign(static_cast<std::size_t>(largest) + 1, -1);
  for (std::size_t id = 0; id < vocabulary_.size(); ++id) {
    TokenId& slot = id_of_[vocabulary_[id]];
    if (slot >= 0) {
      throw Error(ErrorKind::kInvalidArgument, "character {} has two ids, {} and {}", show_code_point(vocabulary_[id]),
                  slot, id);
    }
    slot = static_cast<TokenId>(id);
  }
  if (U' ' < id_of_.size()) stand_in_ = std::max(id_of_[U' '], TokenId{0});
}

std::unique_ptr<CharTokenizer> CharTokenizer::from_corpus(std::string_view corpus) {
  if (corpus.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "cannot collect a character vocabulary: the text is empty");
  }
  std::vector<char> seen(0x110000);
  for (std::size_t at = 0; at < corpus.size();) {
    const Utf8Step step = decode_utf8(corpus.substr(at));
    if (!step.valid) {
      throw Error(ErrorKind::kInvalidArgument,
                  "the text is not UTF-8 at byte {} (line {}); convert it (for Latin-1: iconv -f "
                  "latin1 -t utf8), or take --tokenizer bytes",
                  at, line_at(corpus, at));
    }
    seen[step.code_point] = 1;
    at += static_cast<std::size_t>(step.length);
  }
  std::vector<char32_t> vocabulary;
  for (char32_t code_point = 0; code_point < seen.size(); ++code_point) {
    if (seen[code_point] != 0) vocabulary.push_back(code_point);
  }
  return std::make_unique<CharTokenizer>(std::move(vocabulary));
}

std::unique_ptr<CharTokenizer> CharTokenizer::load(const std::filesystem::path& file) {
  return std::make_unique<CharTokenizer>(read_character_vocabulary(file));
}

void CharTokenizer::encode_into(std::string_view text, const TokenSink& sink,
                                const UnknownSink& unknown) const {
  std::array<TokenId, kBlock> block;
  std::size_t filled = 0;
  std::int64_t handed_over = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    TokenId id = step.valid && step.code_point < id_of_.size() ? id_of_[step.code_point] : -1;
    if (id < 0) [[unlikely]] {
      const std::string shown = show_character(text.substr(at), step);
      unknown({handed_over + static_cast<std::int64_t>(filled), at, shown});
      id = stand_in_;
    }
    at += static_cast<std::size_t>(step.length);
    block[filled++] = id;
    if (filled == kBlock) {
      sink(block);
      handed_over += static_cast<std::int64_t>(kBlock);
      filled = 0;
    }
  }
  if (filled > 0) sink(std::span(block).first(filled));
}

void CharTokenizer::save(const std::filesystem::path& folder) const {
  write_character_vocabulary(folder / "vocab.json", vocabulary_);
  std::error_code absent;  // load_tokenizer would prefer a tokenizer.json left by another model
  std::filesystem::remove(folder / "tokenizer.json", absent);
}

}  // namespace spikegpt
