// Help that fits a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spikegpt::cli {

inline constexpr std::size_t kHelpWidth = 80;   // of a line, in characters
inline constexpr std::size_t kHelpColumn = 32;  // where explanations begin

// Help whose longer lines are broken between words: explanations stay in their column, commands that are to
// be copied (two spaces and a word) go on behind a backslash, anything else keeps its margin.
std::string wrapped(std::string_view text);

}  // namespace spikegpt::cli
