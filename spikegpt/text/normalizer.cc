#include "spikegpt/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "spikegpt/core/error.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

utf8proc_option_t options_of(NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::kNfc || form == NormalForm::kNfkc ? UTF8PROC_COMPOSE
                                                                   : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

// `text` is well formed.
void append_normalized(NormalForm form, std::string_view text, std::string& out) {
  if (text.empty()) return;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size == UTF8PROC_ERROR_NOMEM || size == UTF8PROC_ERROR_OVERFLOW) {
    throw Error(ErrorKind::kMemory, "no memory to normalize {} bytes of text", text.size());
  }
  ensure(size >= 0, "well-formed text can be normalized");
  out.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

struct Range {
  char32_t first;
  char32_t last;
};
constexpr std::array kInert = {
    Range{0x0000, 0x02FF},    // Latin
    Range{0x0391, 0x0482},    // Greek, Cyrillic
    Range{0x05D0, 0x05EA},    // Hebrew
    Range{0x0621, 0x064A},    // Arabic
    Range{0x200B, 0x2027},    // joiners, dashes, quotation marks
    Range{0x2030, 0x205E},    // more punctuation
    Range{0x20A0, 0x20BF},    // currency
    Range{0x2190, 0x2328},    // arrows, mathematics
    Range{0x2500, 0x27FF},    // frames, symbols
    Range{0x3001, 0x3029},    // CJK punctuation
    Range{0x3041, 0x3096},    // Hiragana
    Range{0x30A1, 0x30FA},    // Katakana
    Range{0x4E00, 0x9FFF},    // ideographs
    Range{0xAC00, 0xD7A3},    // Hangul syllables
    Range{0xFE0F, 0xFE0F},    // emoji presentation
    Range{0xFF01, 0xFF9D},    // full and half width
    Range{0x1F000, 0x1FAFF},  // emoji
};

// A stretch that NFC treats by itself: a character of ASCII and all that is not ASCII behind it, or
// one ill-formed part.
struct Stretch {
  std::size_t end = 0;
  bool inert = true;
};

Stretch stretch_at(std::string_view text, std::size_t start) {
  Stretch stretch{start};
  while (stretch.end < text.size()) {
    const Utf8Step step = decode_utf8(text.substr(stretch.end));
    const bool first = stretch.end == start;
    if (!step.valid) {
      return first ? Stretch{start + static_cast<std::size_t>(step.length)} : stretch;
    }
    if (!first && step.code_point < 0x80) return stretch;
    stretch.inert = stretch.inert && is_inert_in_nfc(step.code_point);
    stretch.end += static_cast<std::size_t>(step.length);
  }
  return stretch;
}

std::string_view compose(std::string_view text, std::string& storage) {
  storage.clear();
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Stretch stretch = stretch_at(text, at);
    if (!stretch.inert) {
      storage.append(text.substr(copied, at - copied));
      append_normalized(NormalForm::kNfc, text.substr(at, stretch.end - at), storage);
      copied = stretch.end;
    }
    at = stretch.end;
  }
  if (copied == 0) return text;
  storage.append(text.substr(copied));
  return storage;
}

std::string_view map_all(NormalForm form, std::string_view text, std::string& storage) {
  storage.clear();
  while (!text.empty()) {
    const std::size_t valid = find_invalid_utf8(text).value_or(text.size());
    append_normalized(form, text.substr(0, valid), storage);
    text.remove_prefix(valid);
    if (text.empty()) break;
    const auto broken = static_cast<std::size_t>(decode_utf8(text).length);
    storage.append(text.substr(0, broken));
    text.remove_prefix(broken);
  }
  return storage;
}

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace

bool is_inert_in_nfc(char32_t code_point) noexcept {
  const auto* range = std::lower_bound(
      kInert.begin(), kInert.end(), code_point,
      [](const Range& candidate, char32_t value) { return candidate.last < value; });
  return range != kInert.end() && range->first <= code_point;
}

std::string_view normalize(NormalForm form, std::string_view text, std::string& storage) {
  if (form == NormalForm::kNone || is_ascii(text)) return text;
  return form == NormalForm::kNfc ? compose(text, storage) : map_all(form, text, storage);
}

}  // namespace spikegpt
