// Bytes of a text file as the UTF-8 that the rest of the program reads, whatever program wrote them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace spikegpt {

struct PlainTextOptions {
  bool utf16 = true;       // is decoded: with its mark, or without where that is clear (is_utf16)
  bool line_feeds = true;  // CR LF becomes LF
};

// Without the byte-order mark of UTF-8. What needs no change is not copied: `bytes` must outlive the object.
class PlainText {
 public:
  // Throws Error (kCorruptFile) that names `source` and the byte: a lone surrogate, half a unit of UTF-16.
  PlainText(std::string_view bytes, std::string_view source, PlainTextOptions options = {});
  std::string_view text() const noexcept { return changed_ ? *changed_ : unchanged_; }

 private:
  std::string_view unchanged_;
  std::optional<std::string> changed_;
};

// Whether bytes are UTF-16: by their mark, or by zero bytes at every second place only, with letters of few
// alphabets between them.
bool is_utf16(std::string_view bytes);

// How many of the first `most` bytes to take, so that no character is cut in two.
std::size_t whole_characters(std::string_view bytes, std::size_t most);

// Adds a character as UTF-8.
void append_utf8(std::string& text, char32_t code_point);

}  // namespace spikegpt
