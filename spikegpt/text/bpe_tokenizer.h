// Byte-level byte-pair encoding as GPT-2, GPT-NeoX and Pythia use it (Hugging Face tokenizer.json).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "spikegpt/text/bpe_file.h"
#include "spikegpt/text/tokenizer.h"
#include "spikegpt/text/word_splitter.h"

namespace spikegpt {

// The same ids as the reference implementation gives for well-formed text. Bytes that are not
// UTF-8, which the reference cannot be given, count as symbols outside letters, digits and space,
// take no part in normalization, and come back from decode as they were.
class BpeTokenizer final : public Tokenizer {
 public:
  // `text` is the content of a tokenizer.json in UTF-8; messages call it `name`. Throws Error
  // (kCorruptFile, kUnsupported) with the place in it.
  static std::unique_ptr<BpeTokenizer> parse(std::string text, const std::string& name);
  // From what read_bpe made of `text`.
  static std::unique_ptr<BpeTokenizer> make(BpeDefinition definition, std::string text);

  std::string_view kind() const noexcept override { return "bpe"; }
  std::string_view unit() const noexcept override { return "token"; }
  using Tokenizer::encode_into;
  void encode_into(std::string_view text, const TokenSink& sink, const UnknownSink& unknown) const override;
  std::optional<TokenId> stand_in() const override { return definition_.unk_token; }
  std::optional<TokenId> end_of_text() const override { return end_of_text_; }
  // Writes the file it was read from, unchanged.
  void save(const std::filesystem::path& folder) const override;

  // A special token by its content, for example "<|padding|>".
  std::optional<TokenId> find_added_token(std::string_view content) const;

 private:
  class Encoder;
  BpeTokenizer(BpeDefinition definition, std::string text);
  void index_words();
  std::size_t block_end(std::string_view text) const;

  BpeDefinition definition_;
  std::string file_;  // for saving
  MergeTable merges_;
  AddedTokenFinder raw_tokens_;         // found in the text as given
  AddedTokenFinder normalized_tokens_;  // found after normalization
  std::vector<std::unique_ptr<WordSplitter>> splitters_;
  std::array<TokenId, 256> byte_ids_;  // -1 where the vocabulary lacks a byte
  // Words that are one token; keys are the tokens' own bytes.
  std::unordered_map<std::string_view, TokenId> whole_words_;
  std::optional<TokenId> end_of_text_;
  bool may_cut_ = false;  // behind letters, without changing an id
};

}  // namespace spikegpt
