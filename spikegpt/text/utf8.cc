#include "spikegpt/text/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace spikegpt {
namespace {

// What a leading byte promises: how many bytes follow and the bounds of the first of them.
struct Lead {
  int following = 0;  // 0 = no character starts like this
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
};

constexpr Lead lead_of(unsigned char byte) noexcept {
  if (byte >= 0xC2 && byte <= 0xDF) return {1};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {};
}

// Bytes of ASCII at the start of `text`.
std::size_t ascii_prefix(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080u) != 0) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

Utf8Step decode_multibyte(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text.front());
  const Lead lead = lead_of(first);
  if (lead.following == 0) return {};
  char32_t value = first & (0x3Fu >> lead.following);
  for (int i = 1; i <= lead.following; ++i) {
    if (static_cast<std::size_t>(i) >= text.size()) return {0, i, false, true};
    const auto byte = static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {0, i, false, false};
    value = (value << 6) | (byte & 0x3Fu);
  }
  return {value, lead.following + 1, true, false};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept {
  std::size_t at = 0;
  for (;;) {
    at += ascii_prefix(text.substr(at));
    if (at == text.size()) return std::nullopt;
    const Utf8Step step = decode_multibyte(text.substr(at));
    if (!step.valid) return at;
    at += static_cast<std::size_t>(step.length);
  }
}

std::size_t line_at(std::string_view text, std::size_t offset) noexcept {
  const std::string_view before = text.substr(0, offset);
  return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

std::size_t append_well_formed(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (step.truncated) return text.size();
    const auto length = static_cast<std::size_t>(step.length);
    if (step.valid) {
      out.append(text.substr(0, length));
    } else {
      append_utf8(out, kReplacementCharacter);
    }
    text.remove_prefix(length);
  }
  return 0;
}

std::string displayable(std::string_view text, std::string_view keep) {
  std::string out;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    const char32_t c = step.code_point;
    const auto length = static_cast<std::size_t>(step.length);
    const bool shows = c >= 0x20 && (c < 0x7f || c >= 0xa0) && c != 0xfffe && c != 0xffff;
    if (step.valid && (shows || keep.find(text.front()) != std::string_view::npos)) {
      out += text.substr(0, length);
    } else {
      for (std::size_t i = 0; i < length; ++i) append_utf8(out, kReplacementCharacter);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string show_code_point(char32_t code_point) {
  const auto number = static_cast<std::uint32_t>(code_point);
  if (number < 0x20 || (number >= 0x7F && number < 0xA0)) return fmt::format("U+{:04X}", number);
  std::string character;
  append_utf8(character, code_point);
  return fmt::format("'{}' (U+{:04X})", character, number);
}

std::string show_character(std::string_view text, const Utf8Step& step) {
  if (step.valid) return show_code_point(step.code_point);
  return fmt::format("byte 0x{:02X}", static_cast<unsigned char>(text.front()));
}

}  // namespace spikegpt
