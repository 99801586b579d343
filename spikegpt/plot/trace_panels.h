// Recordings over the same time, below each other: a potential, its threshold, its spikes.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "spikegpt/plot/canvas.h"

namespace spikegpt {

struct TracePanel {
  std::string title;
  std::string y_label;
  std::vector<Point> line;    // in the units of the axes
  std::vector<Point> dashed;  // may be empty
  std::vector<Point> marks;   // at x a bar as long as y, below where y is negative; none where it is 0
  bool steps = false;         // `line` holds its value for one unit of x
  double most = std::numeric_limits<double>::infinity();  // what is beyond it, either way, is drawn at the edge
};

struct TracePanels {
  std::string title;
  std::string x_label;
  std::vector<TracePanel> panels;

  // The picture. Points that are not finite are left out.
  std::string draw(PlotFormat format) const;
};

}  // namespace spikegpt
