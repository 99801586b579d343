// Every byte is a token: any file at all can be read, and comes back as it was.
#pragma once

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer();
  std::string_view kind() const noexcept override { return "bytes"; }
  std::string_view unit() const noexcept override { return "byte"; }
  using Tokenizer::encode_into;
  void encode_into(std::string_view text, const TokenSink& sink, const UnknownSink& unknown) const override;
  void save(const std::filesystem::path& folder) const override;
};

}  // namespace spikegpt
