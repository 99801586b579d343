// Token ids to text as they come, for a terminal or a network stream: never half a character.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// Bytes at the end of a text that begin a character.
struct UnfinishedCharacter {
  std::string bytes;
  std::size_t shown = 0;  // of them, the first so many, because they were given so
};

class StreamingDecoder {
 public:
  // `tokenizer` must outlive the decoder.
  explicit StreamingDecoder(const Tokenizer& tokenizer, UnfinishedCharacter unfinished = {})
      : tokenizer_(&tokenizer), pending_(std::move(unfinished)) {}

  // The text that is complete with this token; bytes of an unfinished character are held back. What
  // can no longer become UTF-8 is U+FFFD, one for each maximal ill-formed part; but a character of which a
  // part was shown goes on with its own bytes. Throws Error (kInvalidArgument) for an id outside the
  // vocabulary.
  std::string push(TokenId id);

  // Text that was given, and is shown by others as it is. Returns the bytes that stand before it and were not
  // shown.
  std::string pass(std::string_view given);

  // The rest: U+FFFD for an unfinished character, otherwise nothing. The decoder is then as new.
  std::string finish();

  const UnfinishedCharacter& unfinished() const noexcept { return pending_; }

 private:
  const Tokenizer* tokenizer_;
  UnfinishedCharacter pending_;
};

}  // namespace spikegpt
