#include "spikegpt/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

utf8proc_option_t options_of(NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::kNfc || form == NormalForm::kNfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

void append_decomposed(char32_t code_point, utf8proc_option_t options, CodePoints& out) {
  constexpr std::size_t kLongest = 32;  // of all characters it is 18
  const std::size_t before = out.size();
  out.resize(before + kLongest);
  int bound_class = 0;
  const utf8proc_ssize_t length = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point),
                                                          out.data() + before, kLongest, options, &bound_class);
  ensure(length >= 0 && static_cast<std::size_t>(length) <= kLongest, "a character decomposes into a few");
  out.resize(before + static_cast<std::size_t>(length));
}

int combining_class(utf8proc_int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

// Canonical order of combining marks. The library would do it too, but in quadratic time.
void order_marks(CodePoints& text) {
  const auto is_starter = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
  for (auto at = text.begin(); at != text.end();) {
    const auto marks = std::find_if_not(at, text.end(), is_starter);
    at = std::find_if(marks, text.end(), is_starter);
    std::stable_sort(marks, at,
                     [](utf8proc_int32_t a, utf8proc_int32_t b) { return combining_class(a) < combining_class(b); });
  }
}

// `text` is well formed.
void append_normalized(NormalForm form, std::string_view text, std::string& out) {
  const utf8proc_option_t options = options_of(form);
  CodePoints code_points;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    append_decomposed(step.code_point, options, code_points);
    text.remove_prefix(static_cast<std::size_t>(step.length));
  }
  order_marks(code_points);
  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()), options);
  ensure(length >= 0, "well-formed text can be normalized");
  code_points.resize(static_cast<std::size_t>(length));
  for (const utf8proc_int32_t c : code_points) append_utf8(out, static_cast<char32_t>(c));
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
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace

bool is_inert_in_nfc(char32_t code_point) noexcept {
  const auto* range = std::lower_bound(kInert.begin(), kInert.end(), code_point,
                                       [](const Range& candidate, char32_t value) { return candidate.last < value; });
  return range != kInert.end() && range->first <= code_point;
}

std::string_view normalize(NormalForm form, std::string_view text, std::string& storage) {
  if (form == NormalForm::kNone || is_ascii(text)) return text;
  return form == NormalForm::kNfc ? compose(text, storage) : map_all(form, text, storage);
}

}  // namespace spikegpt
