#include "spikegpt/core/plain_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";
constexpr std::string_view kLittleMark = "\xFF\xFE";
constexpr std::string_view kBigMark = "\xFE\xFF";
constexpr std::size_t kSample = 4096;  // bytes by which a file without a mark is judged

constexpr bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
constexpr bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

std::uint32_t unit_at(std::string_view bytes, std::size_t at, bool big_endian) {
  const auto a = static_cast<unsigned char>(bytes[at]);
  const auto b = static_cast<unsigned char>(bytes[at + 1]);
  return big_endian ? a * 256u + b : b * 256u + a;
}

// At least one unit in twenty is of Latin-1, nearly all are of alphabets that lie near it, none is a control
// character. Numbers in binary files, as the ids in a .bin, are not like that.
bool looks_like_utf16(std::string_view bytes, bool big_endian) {
  constexpr std::string_view kWhiteSpace = "\t\n\f\r";
  // Up to Arabic, Devanagari, Thai, punctuation and symbols, kana.
  constexpr std::array<std::uint32_t, 13> kBlocks = {0, 1, 2, 3, 4, 5, 6, 0x09, 0x0E, 0x20, 0x21, 0x22, 0x30};
  const std::size_t units = std::min(bytes.size(), kSample) / 2;
  std::size_t latin = 0;
  std::size_t near = 0;
  for (std::size_t i = 0; i < units; ++i) {
    const std::uint32_t unit = unit_at(bytes, 2 * i, big_endian);
    if (unit < 0x20 && (unit == 0 || kWhiteSpace.find(static_cast<char>(unit)) == std::string_view::npos)) return false;
    if (unit < 0x100) ++latin;
    if (std::find(kBlocks.begin(), kBlocks.end(), unit >> 8) != kBlocks.end()) ++near;
  }
  return units >= 2 && bytes.size() % 2 == 0 && 20 * latin >= units && 20 * near >= 19 * units;
}

enum class Form { kUtf8, kLittle, kBig };

Form form_of(std::string_view bytes) {
  if (bytes.starts_with(kLittleMark)) return Form::kLittle;
  if (bytes.starts_with(kBigMark)) return Form::kBig;
  if (bytes.substr(0, kSample).find('\0') == std::string_view::npos) return Form::kUtf8;
  if (looks_like_utf16(bytes, false)) return Form::kLittle;
  return looks_like_utf16(bytes, true) ? Form::kBig : Form::kUtf8;
}

std::string from_utf16(std::string_view bytes, bool big_endian, std::string_view source) {
  if (bytes.size() % 2 != 0) {
    throw Error(ErrorKind::kCorruptFile, "{}: UTF-16 text of an odd number of bytes ({})", source, bytes.size());
  }
  std::string text;
  const bool marked = bytes.starts_with(big_endian ? kBigMark : kLittleMark);
  for (std::size_t at = marked ? 2 : 0; at < bytes.size(); at += 2) {
    std::uint32_t value = unit_at(bytes, at, big_endian);
    const bool pair = is_high_surrogate(value) && at + 2 < bytes.size();
    if (pair && is_low_surrogate(unit_at(bytes, at + 2, big_endian))) {
      value = 0x10000 + ((value - 0xD800) << 10) + (unit_at(bytes, at + 2, big_endian) - 0xDC00);
      at += 2;
    } else if (is_high_surrogate(value) || is_low_surrogate(value)) {
      throw Error(ErrorKind::kCorruptFile, "{}: lone UTF-16 surrogate 0x{:04X} at byte {}", source, value, at);
    }
    append_utf8(text, value);
  }
  return text;
}

// CR LF as LF; nothing where there is none.
std::optional<std::string> with_line_feeds(std::string_view text) {
  std::size_t at = text.find("\r\n");
  if (at == std::string_view::npos) return std::nullopt;
  std::string changed;
  changed.reserve(text.size());
  for (; at != std::string_view::npos; at = text.find("\r\n")) {
    changed += text.substr(0, at);
    text.remove_prefix(at + 1);
  }
  changed += text;
  return changed;
}

}  // namespace

PlainText::PlainText(std::string_view bytes, std::string_view source, PlainTextOptions options) : unchanged_(bytes) {
  if (bytes.starts_with(kUtf8Mark)) unchanged_.remove_prefix(kUtf8Mark.size());
  const Form form = options.utf16 ? form_of(bytes) : Form::kUtf8;
  if (form != Form::kUtf8) changed_ = from_utf16(bytes, form == Form::kBig, source);
  if (!options.line_feeds) return;
  if (auto lines = with_line_feeds(text())) changed_ = std::move(lines);
}

bool is_utf16(std::string_view bytes) { return form_of(bytes) != Form::kUtf8; }

std::size_t whole_characters(std::string_view bytes, std::size_t most) {
  if (bytes.size() <= most) return bytes.size();
  std::size_t end = most;
  if (const Form form = form_of(bytes); form != Form::kUtf8) {
    end -= end % 2;
    if (end >= 2 && is_high_surrogate(unit_at(bytes, end - 2, form == Form::kBig))) end -= 2;
    return end;
  }
  // A character of UTF-8 has at most three bytes behind its first.
  for (int i = 0; i < 3 && end > 0 && (static_cast<unsigned char>(bytes[end]) & 0xC0u) == 0x80u; ++i) --end;
  if (end > 0 && bytes[end] == '\n' && bytes[end - 1] == '\r') --end;
  return end;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto tail = [&](int shift) { text.push_back(static_cast<char>(0x80u | ((code_point >> shift) & 0x3Fu))); };
  if (code_point < 0x80) {
    text.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text.push_back(static_cast<char>(0xC0u | (code_point >> 6)));
    tail(0);
  } else if (code_point < 0x10000) {
    text.push_back(static_cast<char>(0xE0u | (code_point >> 12)));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xF0u | (code_point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace spikegpt
