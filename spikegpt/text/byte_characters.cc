#include "spikegpt/text/byte_characters.h"

#include <array>

#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr bool prints_in_latin1(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::size_t kCharacters = 0x100 + 68;  // 188 bytes print, the other 68 follow U+00FF

struct Tables {
  std::array<char16_t, 256> character{};
  std::array<short, kCharacters> byte{};
};

constexpr Tables make_tables() {
  Tables tables;
  tables.byte.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = prints_in_latin1(byte) ? byte : next++;
    tables.character[static_cast<std::size_t>(byte)] = static_cast<char16_t>(character);
    tables.byte[static_cast<std::size_t>(character)] = static_cast<short>(byte);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

char32_t character_of_byte(unsigned char byte) noexcept { return kTables.character[byte]; }

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) {
    append_utf8(spelling, character_of_byte(static_cast<unsigned char>(byte)));
  }
  return spelling;
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string bytes;
  while (!spelling.empty()) {
    const Utf8Step step = decode_utf8(spelling);
    if (!step.valid || step.code_point >= kCharacters) return std::nullopt;
    const short byte = kTables.byte[step.code_point];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    spelling.remove_prefix(static_cast<std::size_t>(step.length));
  }
  return bytes;
}

}  // namespace spikegpt
