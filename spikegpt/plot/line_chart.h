// Curves over two axes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "spikegpt/plot/canvas.h"

namespace spikegpt {

struct Series {
  std::string name;
  std::vector<Point> points;  // in the units of the axes
};

struct LineChart {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Series> series;
  bool log_x = false;
  bool log_y = false;
  bool whole_x = false;               // ticks at whole numbers only
  std::optional<double> reference_y;  // a dashed line across
  std::string reference_label;
  double width = 640.0;
  double height = 400.0;

  // The picture. Points that are not finite, or not positive on a logarithmic axis, are left out.
  std::string draw(PlotFormat format) const;
};

// How an axis shows a number: "0.5", "20k", "3M".
std::string tick_label(double value);

// About `count` round numbers that cover [low, high]; on a logarithmic axis powers of ten, times 2 and 5 where few.
std::vector<double> axis_ticks(double low, double high, bool logarithmic, int count = 6);

}  // namespace spikegpt
