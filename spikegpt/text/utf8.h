// UTF-8 by the letter of the Unicode standard (table 3-7): no overlong forms, no surrogates.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "spikegpt/core/plain_text.h"  // append_utf8

namespace spikegpt {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// One step through a text.
struct Utf8Step {
  char32_t code_point = 0;  // meaningful when valid
  int length = 1;           // bytes: of the character, or of the maximal ill-formed part
  bool valid = false;
  bool truncated = false;  // ill-formed only because the text ends here
};

Utf8Step decode_multibyte(std::string_view text) noexcept;

// The character at the start of `text`, which must not be empty.
inline Utf8Step decode_utf8(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return {first, 1, true, false};
  return decode_multibyte(text);
}

// Byte offset of the first ill-formed part.
std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept;

// Line (from 1) of the byte at `offset`.
std::size_t line_at(std::string_view text, std::size_t offset) noexcept;

// Appends `text` to `out` with U+FFFD for ill-formed parts; returns how many bytes at the end were
// left out because they may be the start of a character.
std::size_t append_well_formed(std::string& out, std::string_view text);

// With U+FFFD, one a byte, for what is no UTF-8, for control characters and for what XML does not allow. Characters of
// `keep` stay ("\n\t").
std::string displayable(std::string_view text, std::string_view keep = {});

// How a message shows a character: "'é' (U+00E9)", or "U+000A" where it would not print.
std::string show_code_point(char32_t code_point);

// The same for what `step` made of the start of `text`: "byte 0xE9" where it is no UTF-8.
std::string show_character(std::string_view text, const Utf8Step& step);

}  // namespace spikegpt
