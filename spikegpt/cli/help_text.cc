#include "spikegpt/cli/help_text.h"

#include <algorithm>

namespace spikegpt::cli {
namespace {

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

// How a long line is broken: what stands before its words, what in front of each further line, what at the
// end of all but the last.
struct Layout {
  std::size_t head = 0;  // bytes that stay as they are
  std::size_t margin = 0;
  std::string_view end;
};

Layout layout_of(std::string_view line) {
  const std::size_t margin = std::min(line.find_first_not_of(' '), line.size());
  const bool explains = line.size() > kHelpColumn && line[kHelpColumn - 1] == ' ' &&
                        line[kHelpColumn] != ' ' &&
                        (margin == kHelpColumn || line[kHelpColumn - 2] == ' ' || margin == 2);
  if (margin == 2 && line[margin] != '-' && line.substr(0, kHelpColumn).find("  ", 2) == line.npos)
    return {margin, 6, " \\"};
  if (explains) return {kHelpColumn, kHelpColumn, ""};
  return {margin, margin, ""};
}

void append_wrapped(std::string& out, std::string_view line) {
  if (characters(line) <= kHelpWidth) {
    out += line;
    return;
  }
  const Layout layout = layout_of(line);
  std::string built(line.substr(0, layout.head));
  bool begun = false;
  line.remove_prefix(layout.head);
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    const std::size_t last = line.empty() ? 0 : layout.end.size();
    if (begun && characters(built) + 1 + characters(word) + last > kHelpWidth) {
      out.append(built).append(layout.end).append("\n");
      built.assign(layout.margin, ' ');
      begun = false;
    }
    if (begun) built += ' ';
    built += word;
    begun = true;
  }
  out += built;
}

}  // namespace

std::string wrapped(std::string_view text) {
  std::string out;
  for (bool first = true; !text.empty(); first = false) {
    if (!first) out += '\n';
    const std::size_t end = text.find('\n');
    append_wrapped(out, text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (end != text.npos && text.empty()) out += '\n';
  }
  return out;
}

}  // namespace spikegpt::cli
