// A grid of shares as a figure of a page.
#pragma once

#include <string>
#include <vector>

namespace spikegpt {

struct HeatMap {
  std::string title;
  std::string remark;
  std::vector<std::string> rows;
  std::vector<std::string> columns;
  std::vector<std::vector<double>> values;  // [rows][columns], 0 or more; NaN = unknown

  // HTML: the darkest cell is the largest value; every cell says its own. Of many columns about 40 are shown.
  std::string draw() const;
};

}  // namespace spikegpt
