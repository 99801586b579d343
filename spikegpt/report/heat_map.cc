#include "spikegpt/report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/report/html.h"

namespace spikegpt {
namespace {

constexpr std::size_t kMaxColumns = 40;
constexpr double kWidth = 420.0;
constexpr double kLeft = 92.0;
constexpr double kRowHeight = 16.0;
constexpr double kBottom = 22.0;

// Evenly spread, the first and the last among them.
std::vector<std::size_t> chosen(std::size_t count) {
  std::vector<std::size_t> picked;
  const std::size_t shown = std::min(count, kMaxColumns);
  for (std::size_t i = 0; i < shown; ++i) picked.push_back(shown == 1 ? count - 1 : i * (count - 1) / (shown - 1));
  return picked;
}

std::string percent(double value) { return std::isfinite(value) ? fmt::format("{:.2f} %", 100.0 * value) : "-"; }

std::string table_of(const HeatMap& map, const std::vector<std::size_t>& columns) {
  HtmlTable table;
  table.header.push_back("");
  for (const std::size_t column : columns) table.header.push_back(map.columns[column]);
  for (std::size_t row = 0; row < map.rows.size(); ++row) {
    table.rows.push_back({map.rows[row]});
    for (const std::size_t column : columns) table.rows.back().push_back(percent(map.values[row][column]));
  }
  return folded("as a table", table.draw());
}

}  // namespace

std::string HeatMap::draw() const {
  ensure(values.size() == rows.size(), "a row of values for every row");
  double largest = 1e-9;
  for (const auto& row : values) {
    for (const double value : row) largest = std::isfinite(value) ? std::max(largest, value) : largest;
  }
  const std::vector<std::size_t> picked = chosen(columns.size());
  const double cell = (kWidth - kLeft) / static_cast<double>(std::max<std::size_t>(picked.size(), 1));
  const double height = kRowHeight * static_cast<double>(rows.size()) + kBottom;
  std::string svg = fmt::format("<svg class=\"only\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth,
                                height, escape_html(title));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const double y = kRowHeight * static_cast<double>(r);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", kLeft - 6.0, y + 12.0,
                       escape_html(rows[r]));
    for (std::size_t i = 0; i < picked.size(); ++i) {
      const double value = values[r][picked[i]];
      svg += fmt::format(
          "<rect class=\"heat\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" "
          "fill-opacity=\"{:.3f}\"><title>{}, {}: {}</title></rect>",
          kLeft + cell * static_cast<double>(i), y, std::max(1.0, cell - 0.6), kRowHeight - 1.0,
          std::isfinite(value) ? value / largest : 0.0, escape_html(rows[r]), escape_html(columns[picked[i]]),
          percent(value));
    }
    svg += "\n";
  }
  if (!picked.empty()) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>", kLeft, height - 6.0, escape_html(columns[picked.front()]));
    if (picked.size() > 1) {
      svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", kWidth, height - 6.0,
                         escape_html(columns[picked.back()]));
    }
  }
  return fmt::format("<figure><figcaption>{} <span>{}</span></figcaption>\n{}</svg>\n{}</figure>\n", escape_html(title),
                     escape_html(fmt::format("{}darkest: {}", remark, percent(largest))), svg, table_of(*this, picked));
}

}  // namespace spikegpt
