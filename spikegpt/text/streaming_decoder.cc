#include "spikegpt/text/streaming_decoder.h"

#include "spikegpt/text/utf8.h"

namespace spikegpt {

std::string StreamingDecoder::push(TokenId id) {
  pending_ += tokenizer_->token_bytes(id);
  std::string text;
  const std::size_t held_back = append_well_formed(text, pending_);
  pending_.erase(0, pending_.size() - held_back);
  return text;
}

std::string StreamingDecoder::finish() {
  std::string text;
  if (!pending_.empty()) append_utf8(text, kReplacementCharacter);
  pending_.clear();
  return text;
}

}  // namespace spikegpt
