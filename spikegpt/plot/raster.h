// Spike rasters: neurons over tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/plot/canvas.h"

namespace spikegpt {

// One population of neurons: a spike is 1, a negative one -1, several in one token 2 and more, silence 0.
struct RasterPanel {
  std::string title;
  std::int64_t first_neuron = 0;  // number of the first row
  std::int64_t neurons = 0;
  std::vector<std::int8_t> spikes;  // [tokens, neurons]
};

struct Raster {
  std::string title;
  std::int64_t tokens = 0;
  std::vector<std::string> token_labels;  // one a token; shown where there is room
  std::vector<RasterPanel> panels;

  // The picture: panels below each other. Where neurons or tokens outnumber the pixels, a pixel shows the share of its
  // spikes as a shade, and the title says so.
  std::string draw(PlotFormat format) const;
};

}  // namespace spikegpt
