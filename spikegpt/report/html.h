// Text and tables as HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

// For element content and quoted attributes. What is no UTF-8, and control characters but line feeds and tabs, become
// U+FFFD.
std::string escape_html(std::string_view text);

// JSON text that may stand in a script element.
std::string escape_script(std::string_view json);

// Cells are plain text; the first column is the name of its row.
struct HtmlTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> marked;  // rows that stand out; may be shorter than rows

  std::string draw() const;
};

// A part of a page that opens at a click. `content` is HTML.
std::string folded(std::string_view summary, std::string_view content, bool open = false);

// Stands in every page, so that a command knows its own.
inline constexpr const char* kPageMark = "<meta name=\"generator\" content=\"spikegpt\">";

// A whole page of one file, with the style and script that charts need; it loads nothing. `body` is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace spikegpt
