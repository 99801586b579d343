// Token ids to text as they come, for a terminal or a network stream: never half a character.
#pragma once

#include <string>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

class StreamingDecoder {
 public:
  // `tokenizer` must outlive the decoder.
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  // The text that is complete with this token; bytes of an unfinished character are held back. What
  // can no longer become UTF-8 is U+FFFD, one for each maximal ill-formed part. Throws Error
  // (kInvalidArgument) for an id outside the vocabulary.
  std::string push(TokenId id);

  // The rest: U+FFFD for an unfinished character, otherwise nothing. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace spikegpt
