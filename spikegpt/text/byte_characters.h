// How byte-level BPE files spell bytes: one printable character for each of the 256.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spikegpt {

// The character that stands for a byte: itself where it prints in Latin-1, else one from U+0100 on.
char32_t character_of_byte(unsigned char byte) noexcept;

// "Ġthe" for " the".
std::string spell_bytes(std::string_view bytes);

// " the" for "Ġthe"; nothing when a character stands for no byte or the text is not UTF-8.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

}  // namespace spikegpt
