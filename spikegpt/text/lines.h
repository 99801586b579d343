// The lines of a text.
#pragma once

#include <cstddef>
#include <string_view>

namespace spikegpt {

// The first line of `text`, without its line feed; `text` is what stands behind it.
inline std::string_view take_line(std::string_view& text) noexcept {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// Calls visitor(number, line) for each, numbered from 1, without its line feed. A line feed at the end begins no
// further line.
template <class Visitor>
void for_each_line(std::string_view text, const Visitor& visitor) {
  for (std::size_t number = 1; !text.empty(); ++number) visitor(number, take_line(text));
}

inline bool is_blank(std::string_view line) noexcept {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace spikegpt
