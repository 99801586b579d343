#include "spikegpt/text/streaming_decoder.h"

#include "spikegpt/text/utf8.h"

namespace spikegpt {

std::string StreamingDecoder::push(TokenId id) {
  std::string& bytes = pending_.bytes;
  bytes += tokenizer_->token_bytes(id);
  std::string text;
  if (pending_.shown > 0) {
    const Utf8Step step = decode_utf8(bytes);
    if (step.truncated) return text;
    const auto length = static_cast<std::size_t>(step.length);
    text = bytes.substr(pending_.shown, length - pending_.shown);
    bytes.erase(0, length);
    pending_.shown = 0;
  }
  const std::size_t held_back = append_well_formed(text, bytes);
  bytes.erase(0, bytes.size() - held_back);
  return text;
}

std::string StreamingDecoder::pass(std::string_view given) {
  if (given.empty()) return {};
  std::string& bytes = pending_.bytes;
  std::string before = bytes.substr(pending_.shown);
  bytes += given;
  std::string whole;
  const std::size_t held_back = append_well_formed(whole, bytes);
  bytes.erase(0, bytes.size() - held_back);
  pending_.shown = bytes.size();
  return before;
}

std::string StreamingDecoder::finish() {
  std::string text;
  if (pending_.shown == 0 && !pending_.bytes.empty()) append_utf8(text, kReplacementCharacter);
  if (pending_.shown > 0) text = pending_.bytes.substr(pending_.shown);
  pending_ = {};
  return text;
}

}  // namespace spikegpt
