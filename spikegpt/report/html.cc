#include "spikegpt/report/html.h"

#include <fmt/format.h>

#include "spikegpt/report/page_assets.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : displayable(text, "\n\t")) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string escape_script(std::string_view json) {
  std::string out;
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";  // so that no text ends the element
    } else {
      out += c;
    }
  }
  return out;
}

std::string HtmlTable::draw() const {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& cell : header) html += fmt::format("<th scope=\"col\">{}</th>", escape_html(cell));
  html += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    html += i < marked.size() && marked[i] ? "<tr class=\"marked\">" : "<tr>";
    for (std::size_t column = 0; column < rows[i].size(); ++column) {
      const std::string cell = escape_html(rows[i][column]);
      html += column == 0 ? fmt::format("<th scope=\"row\">{}</th>", cell) : fmt::format("<td>{}</td>", cell);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string folded(std::string_view summary, std::string_view content, bool open) {
  return fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", open ? " open" : "", escape_html(summary),
                     content);
}

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n{}\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{}</title>\n<style>{}</style></head>\n<body><main>\n{}</main>\n<script>{}</script></body></html>\n",
      kPageMark, escape_html(title), kPageStyle, body, kPageScript);
}

}  // namespace spikegpt
