// The Unicode properties that tokenizers ask about.
#pragma once

#include <cstdint>

namespace spikegpt {

enum class CharacterClass : std::uint8_t { kLetter, kNumber, kSpace, kOther };

// Letter: general category L*; number: N*; space: the property White_Space.
CharacterClass classify(char32_t code_point) noexcept;

// What regular expressions call \w: letters, marks, decimal digits, connector punctuation, joiners.
bool is_word_character(char32_t code_point) noexcept;

}  // namespace spikegpt
