// The lines of a text.
#pragma once

#include <cstddef>
#include <string_view>

namespace spikegpt {

// Calls visitor(number, line) for each, numbered from 1, without its line feed. A line feed at the end begins no
// further line.
template <class Visitor>
void for_each_line(std::string_view text, const Visitor& visitor) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    visitor(number, line);
  }
}

inline bool is_blank(std::string_view line) noexcept {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace spikegpt
