// Curves as a figure of a page: SVG that follows the page's colours, values under the pointer, and a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/plot/canvas.h"

namespace spikegpt {

enum class CurveStyle : std::uint8_t { kLine, kFaint, kLineAndDots, kDots };

struct Curve {
  std::string name;
  std::vector<Point> points;  // in the units of the axes, x ascending; what is not finite leaves a gap
  std::size_t color = 0;      // curves of one colour belong together: the legend names the first
  CurveStyle style = CurveStyle::kLine;
};

struct ChartFigure {
  std::string title;
  std::string remark;  // behind the title
  std::string x_label;
  std::vector<Curve> curves;
  bool log_x = false;
  bool log_y = false;
  bool hero = false;           // as wide as the page
  double ignored_start = 0.0;  // share of the x axis whose points do not stretch the y axis: they may lie above

  // HTML. "Nothing yet" where no point is finite.
  std::string draw() const;
};

// At most `count` points: means of neighbours, over the same span of x.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t count);

// Running mean over about `width` points, which ends where the curve ends.
std::vector<Point> smoothed(const std::vector<Point>& points, double width);

}  // namespace spikegpt
