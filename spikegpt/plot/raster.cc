#include "spikegpt/plot/raster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/plot/line_chart.h"

namespace spikegpt {
namespace {

constexpr double kLeft = 64.0;
constexpr double kRight = 16.0;
constexpr double kTop = 40.0;
constexpr double kPanelTitle = 18.0;
constexpr double kGap = 12.0;
constexpr double kBottom = 58.0;
constexpr std::int64_t kMaxColumns = 1000;  // pixels of a panel
constexpr std::int64_t kMaxRows = 320;
constexpr double kLabelWidth = 11.0;  // a token's label, turned

// How a panel's spikes become pixels: `step` neurons or tokens to one.
struct Grid {
  std::int64_t columns;
  std::int64_t rows;
  std::int64_t token_step;
  std::int64_t neuron_step;
};
Grid grid_of(std::int64_t tokens, std::int64_t neurons) {
  const std::int64_t token_step = (tokens + kMaxColumns - 1) / kMaxColumns;
  const std::int64_t neuron_step = (neurons + kMaxRows - 1) / kMaxRows;
  return {(tokens + token_step - 1) / token_step, (neurons + neuron_step - 1) / neuron_step, token_step, neuron_step};
}

Color blend(Color to, double share) {
  return {1.0 + share * (to.red - 1.0), 1.0 + share * (to.green - 1.0), 1.0 + share * (to.blue - 1.0)};
}

// The mean of positive and of negative events in one pixel, as a shade of ink or of the second colour.
Color pixel(const RasterPanel& panel, std::int64_t tokens, const Grid& grid, std::int64_t column, std::int64_t row) {
  double positive = 0.0;
  double negative = 0.0;
  double cells = 0.0;
  for (std::int64_t t = column * grid.token_step; t < std::min(tokens, (column + 1) * grid.token_step); ++t) {
    for (std::int64_t n = row * grid.neuron_step; n < std::min(panel.neurons, (row + 1) * grid.neuron_step); ++n) {
      const int spike = panel.spikes[static_cast<std::size_t>(t * panel.neurons + n)];
      (spike < 0 ? negative : positive) += std::min(1.0, 0.55 + 0.45 * std::abs(spike)) * (spike != 0 ? 1.0 : 0.0);
      cells += 1.0;
    }
  }
  // A lone spike among many cells must still be seen.
  const auto shade = [&](double sum) { return sum == 0.0 ? 0.0 : std::max(0.15, std::sqrt(sum / cells)); };
  return negative > positive ? blend(series_color(1), shade(negative)) : blend({0.05, 0.1, 0.3}, shade(positive));
}

double panel_height(const RasterPanel& panel) {
  return std::clamp(static_cast<double>(panel.neurons) * 2.0, 40.0, static_cast<double>(kMaxRows));
}

void draw_panel(Canvas& canvas, const Raster& raster, const RasterPanel& panel, const Box& box) {
  canvas.text({box.x, box.y - 5.0}, panel.title, {.size = 11.0, .bold = true});
  if (raster.tokens > 0 && panel.neurons > 0) {
    const Grid grid = grid_of(raster.tokens, panel.neurons);
    std::vector<Color> pixels;
    for (std::int64_t row = 0; row < grid.rows; ++row) {
      for (std::int64_t column = 0; column < grid.columns; ++column) {
        pixels.push_back(pixel(panel, raster.tokens, grid, column, row));
      }
    }
    canvas.image(box, grid.columns, grid.rows, pixels);
  }
  const Point corners[] = {{box.x, box.y},
                           {box.x + box.width, box.y},
                           {box.x + box.width, box.y + box.height},
                           {box.x, box.y + box.height},
                           {box.x, box.y}};
  canvas.polyline(corners, {.width = 0.8});
  canvas.text({box.x - 5.0, box.y + 9.0}, fmt::format("{}", panel.first_neuron), {.size = 9.0, .anchor = Anchor::kEnd});
  canvas.text({box.x - 5.0, box.y + box.height},
              fmt::format("{}", panel.first_neuron + std::max<std::int64_t>(panel.neurons, 1) - 1),
              {.size = 9.0, .anchor = Anchor::kEnd});
}

// Below the last panel: the tokens themselves where there is room, else their numbers.
void draw_tokens(Canvas& canvas, const Raster& raster, const Box& box) {
  const double step = box.width / static_cast<double>(std::max<std::int64_t>(raster.tokens, 1));
  const bool labels = static_cast<std::int64_t>(raster.token_labels.size()) == raster.tokens && step >= kLabelWidth;
  const double bottom = box.y + box.height;
  for (std::int64_t t = 0; labels && t < raster.tokens; ++t) {
    canvas.text({box.x + (static_cast<double>(t) + 0.5) * step + 3.0, bottom + 5.0},
                raster.token_labels[static_cast<std::size_t>(t)],
                {.size = 9.0, .anchor = Anchor::kEnd, .upwards = true});
  }
  if (!labels) {
    for (const double tick : axis_ticks(0.0, static_cast<double>(raster.tokens), false)) {
      if (tick > static_cast<double>(raster.tokens) || tick != std::floor(tick)) continue;
      canvas.text({box.x + tick * step, bottom + 14.0}, fmt::format("{:g}", tick),
                  {.size = 10.0, .anchor = Anchor::kMiddle});
    }
  }
  canvas.text({box.x + 0.5 * box.width, bottom + kBottom - 10.0}, "token", {.size = 12.0, .anchor = Anchor::kMiddle});
}

}  // namespace

std::string Raster::draw(PlotFormat format) const {
  double height = kTop + kBottom;
  bool shaded = tokens > kMaxColumns;
  for (const RasterPanel& panel : panels) {
    ensure(static_cast<std::int64_t>(panel.spikes.size()) == tokens * panel.neurons, "spikes of another shape");
    height += panel_height(panel) + kPanelTitle + kGap;
    shaded = shaded || panel.neurons > kMaxRows;
  }
  const double inner = std::clamp(static_cast<double>(tokens) * 12.0, 360.0, static_cast<double>(kMaxColumns));
  Canvas canvas(kLeft + inner + kRight, height, format);
  canvas.text({kLeft, 20.0}, shaded ? title + " (pixels show shares of spikes)" : title, {.size = 13.0, .bold = true});
  Box box = {kLeft, kTop, inner, 0.0};
  for (const RasterPanel& panel : panels) {
    box.y += kPanelTitle;
    box.height = panel_height(panel);
    draw_panel(canvas, *this, panel, box);
    if (&panel == &panels.back()) draw_tokens(canvas, *this, box);
    box.y += box.height + kGap;
  }
  canvas.text({16.0, kTop + 0.5 * (height - kTop - kBottom)}, "neuron",
              {.size = 12.0, .anchor = Anchor::kMiddle, .upwards = true});
  return canvas.bytes();
}

}  // namespace spikegpt
