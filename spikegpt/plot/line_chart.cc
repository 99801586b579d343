#include "spikegpt/plot/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace spikegpt {
namespace {

constexpr double kLeft = 64.0;
constexpr double kRight = 20.0;
constexpr double kTop = 34.0;
constexpr double kBottom = 48.0;
constexpr double kLegendRow = 16.0;
constexpr double kLegendWidth = 126.0;  // beside the curves

// One axis: values to coordinates.
struct Axis {
  double low;
  double high;
  bool logarithmic;
  double from;  // coordinate of `low`
  double to;

  double at(double value) const {
    const auto scaled = [&](double v) { return logarithmic ? std::log10(v) : v; };
    return from + (scaled(value) - scaled(low)) / (scaled(high) - scaled(low)) * (to - from);
  }
};

bool shows(double value, bool logarithmic) { return std::isfinite(value) && (!logarithmic || value > 0.0); }

// The span of the values, widened to the ticks around them.
Axis fit(std::vector<double> values, bool logarithmic, double from, double to) {
  std::erase_if(values, [&](double v) { return !shows(v, logarithmic); });
  double low = values.empty() ? (logarithmic ? 1.0 : 0.0) : *std::min_element(values.begin(), values.end());
  double high = values.empty() ? 1.0 : *std::max_element(values.begin(), values.end());
  if (low == high) {
    low = logarithmic ? low / 2.0 : low - 0.5;
    high = logarithmic ? high * 2.0 : high + 0.5;
  }
  if (!logarithmic && low > 0.0 && low < 0.5 * high) low = 0.0;
  if (!logarithmic) {
    const std::vector<double> ticks = axis_ticks(low, high, false);
    if (ticks.size() > 1) high = std::max(high, ticks.back());
  }
  return {low, high, logarithmic, from, to};
}

std::vector<double> coordinates(const LineChart& chart, bool x) {
  std::vector<double> values;
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) values.push_back(x ? point.x : point.y);
  }
  if (!x && chart.reference_y) values.push_back(*chart.reference_y);
  return values;
}

void draw_axes(const LineChart& chart, Canvas& canvas, const Axis& x, const Axis& y) {
  for (const double tick : axis_ticks(x.low, x.high, x.logarithmic)) {
    if (chart.whole_x && tick != std::floor(tick)) continue;
    canvas.line({x.at(tick), y.from}, {x.at(tick), y.to}, {kGridColor, 0.7});
    canvas.text({x.at(tick), y.from + 16.0}, tick_label(tick), {.anchor = Anchor::kMiddle});
  }
  for (const double tick : axis_ticks(y.low, y.high, y.logarithmic)) {
    canvas.line({x.from, y.at(tick)}, {x.to, y.at(tick)}, {kGridColor, 0.7});
    canvas.text({x.from - 7.0, y.at(tick) + 4.0}, tick_label(tick), {.anchor = Anchor::kEnd});
  }
  canvas.line({x.from, y.from}, {x.to, y.from}, {});
  canvas.line({x.from, y.from}, {x.from, y.to}, {});
  canvas.text({0.5 * (x.from + x.to), y.from + 36.0}, chart.x_label, {.size = 12.0, .anchor = Anchor::kMiddle});
  canvas.text({18.0, 0.5 * (y.from + y.to)}, chart.y_label, {.size = 12.0, .anchor = Anchor::kMiddle, .upwards = true});
  canvas.text({x.from, 20.0}, chart.title, {.size = 13.0, .bold = true});
}

}  // namespace

std::string tick_label(double value) {
  if (value == 0.0) return "0";  // not "-0"
  const double size = std::abs(value);
  if (size >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:g}", value);
}

std::vector<double> axis_ticks(double low, double high, bool logarithmic, int count) {
  std::vector<double> ticks;
  if (!(high > low) || !std::isfinite(low) || !std::isfinite(high)) return ticks;
  if (logarithmic) {
    const bool fine = std::log10(high / low) < 2.5;
    for (double decade = std::pow(10.0, std::floor(std::log10(low))); decade <= high; decade *= 10.0) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double tick = decade * factor;
        if ((fine || factor == 1.0) && tick >= low * 0.999 && tick <= high * 1.001) ticks.push_back(tick);
      }
    }
    return ticks;
  }
  const double raw = (high - low) / std::max(1, count);
  const double decade = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10.0 * decade;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * decade >= raw * 0.999) {
      step = factor * decade;
      break;
    }
  }
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 0.51 * step && ticks.size() < 100; ++i) {
    if (i * step <= high * (1.0 + 1e-9) + 1e-300 || ticks.size() < 2) ticks.push_back(i * step);
  }
  return ticks;
}

std::string LineChart::draw(PlotFormat format) const {
  Canvas canvas(width, height, format);
  const bool has_legend = series.size() > 1 || (!series.empty() && !series[0].name.empty());
  const Axis x = fit(coordinates(*this, true), log_x, kLeft, width - kRight - (has_legend ? kLegendWidth : 0.0));
  const Axis y = fit(coordinates(*this, false), log_y, height - kBottom, kTop);
  draw_axes(*this, canvas, x, y);
  if (reference_y && shows(*reference_y, log_y)) {
    canvas.line({x.from, y.at(*reference_y)}, {x.to, y.at(*reference_y)}, {.dashed = true});
    canvas.text({x.to - 4.0, y.at(*reference_y) - 4.0}, reference_label, {.anchor = Anchor::kEnd});
  }
  double legend = y.to + 8.0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    std::vector<Point> points;
    for (const Point& point : series[i].points) {
      const bool shown = shows(point.x, log_x) && shows(point.y, log_y);
      constexpr double kGap = std::numeric_limits<double>::quiet_NaN();
      points.push_back(shown ? Point{x.at(point.x), y.at(point.y)} : Point{kGap, kGap});
    }
    const Color color = series_color(i);
    canvas.polyline(points, {color, 1.8});
    if (points.size() <= 40) {
      for (const Point& point : points) canvas.dot(point, 2.6, color);
    }
    if (!has_legend) continue;
    canvas.line({x.to + 12.0, legend}, {x.to + 34.0, legend}, {color, 2.4});
    canvas.text({x.to + 40.0, legend + 4.0}, series[i].name, {});
    legend += kLegendRow;
  }
  return canvas.bytes();
}

}  // namespace spikegpt
