// Unicode code points as tokens, ids by rank in the corpus that made the vocabulary.
#pragma once

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

class CharTokenizer final : public Tokenizer {
 public:
  // Id i stands for vocabulary[i]. Throws Error (kInvalidArgument) for an empty vocabulary or a
  // character that stands in it twice.
  explicit CharTokenizer(std::vector<char32_t> vocabulary);

  // All characters of `corpus`, by code point. Throws Error (kInvalidArgument) with byte and line
  // where it is not UTF-8.
  static std::unique_ptr<CharTokenizer> from_corpus(std::string_view corpus);

  // A vocabulary file as the public training code writes it: a JSON object {"0": "a", ...} in UTF-8
  // or in UTF-16 with a byte order mark. Throws Error (kCorruptFile, kUnsupported).
  static std::unique_ptr<CharTokenizer> load(const std::filesystem::path& file);

  std::string_view kind() const noexcept override { return "chars"; }
  std::string_view unit() const noexcept override { return "character"; }
  // Unknown characters and ill-formed bytes become a space, or id 0 in a vocabulary without one.
  using Tokenizer::encode_into;
  void encode_into(std::string_view text, const TokenSink& sink, const UnknownSink& unknown) const override;
  std::optional<TokenId> stand_in() const override { return stand_in_; }
  void save(const std::filesystem::path& folder) const override;

 private:
  std::vector<char32_t> vocabulary_;
  std::vector<TokenId> id_of_;  // by code point, -1 = unknown; as long as the largest needs
  TokenId stand_in_ = 0;
};

}  // namespace spikegpt
