#include "spikegpt/text/character_class.h"

#include <utf8proc.h>

namespace spikegpt {
namespace {

constexpr bool is_white_space(char32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

utf8proc_category_t category_of(char32_t c) noexcept { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

constexpr bool is_letter(utf8proc_category_t category) noexcept {
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

}  // namespace

CharacterClass classify(char32_t code_point) noexcept {
  if (is_white_space(code_point)) return CharacterClass::kSpace;
  const utf8proc_category_t category = category_of(code_point);
  if (is_letter(category)) return CharacterClass::kLetter;
  const bool number = category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
  return number ? CharacterClass::kNumber : CharacterClass::kOther;
}

bool is_word_character(char32_t code_point) noexcept {
  const utf8proc_category_t category = category_of(code_point);
  const bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
  return is_letter(category) || mark || category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_PC || code_point == 0x200C || code_point == 0x200D;
}

}  // namespace spikegpt
