#include "spikegpt/text/word_splitter.h"

#include <array>

#include "spikegpt/text/character_class.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

struct Classified {
  CharacterClass kind = CharacterClass::kOther;
  std::size_t length = 0;  // 0 at the end of the text
};

constexpr std::array<CharacterClass, 128> make_ascii_table() {
  std::array<CharacterClass, 128> table{};
  for (std::size_t c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 0x09 && c <= 0x0D);
    table[c] = letter                 ? CharacterClass::kLetter
               : c >= '0' && c <= '9' ? CharacterClass::kNumber
               : space                ? CharacterClass::kSpace
                                      : CharacterClass::kOther;
  }
  return table;
}
constexpr std::array<CharacterClass, 128> kAscii = make_ascii_table();

Classified classify_at(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return {};
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {kAscii[byte], 1};
  const Utf8Step step = decode_multibyte(text.substr(at));
  return {step.valid ? classify(step.code_point) : CharacterClass::kOther, static_cast<std::size_t>(step.length)};
}

// End of the run of characters of one class that starts at `at`.
std::size_t run_end(std::string_view text, std::size_t at, CharacterClass kind) noexcept {
  for (;;) {
    const Classified next = classify_at(text, at);
    if (next.length == 0 || next.kind != kind) return at;
    at += next.length;
  }
}

// Length of the English contraction that `text` starts with, 0 for none.
std::size_t contraction(std::string_view text) noexcept {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char second = text[1];
  if (second == 's' || second == 't' || second == 'm' || second == 'd') return 2;
  const std::string_view three = text.substr(0, 3);
  return three == "'re" || three == "'ve" || three == "'ll" ? 3 : 0;
}

// White space up to a word leaves its last character to that word's own match.
std::size_t white_space(std::string_view text) noexcept {
  std::size_t end = 0;
  std::size_t last = 0;
  for (;;) {
    const Classified next = classify_at(text, end);
    if (next.length == 0) return end;
    if (next.kind != CharacterClass::kSpace) return last > 0 ? last : end;
    last = end;
    end += next.length;
  }
}

}  // namespace

std::size_t Gpt2Splitter::first_word(std::string_view text) noexcept {
  if (const std::size_t length = contraction(text); length > 0) return length;
  const Classified first = classify_at(text, 0);
  if (first.kind != CharacterClass::kSpace) return run_end(text, first.length, first.kind);
  if (text[0] == ' ') {
    const Classified second = classify_at(text, 1);
    if (second.length > 0 && second.kind != CharacterClass::kSpace) {
      return run_end(text, 1 + second.length, second.kind);
    }
  }
  return white_space(text);
}

void Gpt2Splitter::split(std::string_view text, const WordSink& sink) const {
  while (!text.empty()) {
    const std::size_t length = first_word(text);
    sink(text.substr(0, length));
    text.remove_prefix(length);
  }
}

}  // namespace spikegpt
