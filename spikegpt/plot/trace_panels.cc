#include "spikegpt/plot/trace_panels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spikegpt/plot/line_chart.h"

namespace spikegpt {
namespace {

constexpr double kWidth = 720.0;
constexpr double kLeft = 70.0;
constexpr double kRight = 20.0;
constexpr double kTop = 30.0;
constexpr double kBottom = 48.0;
constexpr double kTitle = 18.0;  // above each panel
constexpr double kMarks = 16.0;  // between title and curves, where spikes are drawn
constexpr double kCurves = 72.0;
constexpr double kGap = 12.0;

struct Range {
  double low = 0.0;
  double high = 0.0;
  bool is_empty = true;

  void add(double value) {
    if (!std::isfinite(value)) return;
    low = is_empty ? value : std::min(low, value);
    high = is_empty ? value : std::max(high, value);
    is_empty = false;
  }
  // Never empty, and nothing on its edge.
  void widen() {
    if (is_empty) *this = {0.0, 1.0, false};
    const double margin = high > low ? 0.06 * (high - low) : 0.5;
    low -= margin;
    high += margin;
  }
};

// Lines apart from each other that are drawn as one: a smaller file.
struct Strokes {
  std::vector<Point> points;

  void add(Point from, Point to) {
    constexpr double kNowhere = std::numeric_limits<double>::quiet_NaN();
    points.insert(points.end(), {from, to, {kNowhere, kNowhere}});
  }
};

class Drawing {
 public:
  Drawing(const TracePanels& picture, Canvas& canvas) : picture_(picture), canvas_(canvas) {
    for (const TracePanel& panel : picture.panels) {
      for (const Point& point : panel.line) time_.add(point.x + (panel.steps ? 1.0 : 0.0));
      for (const Point& point : panel.line) time_.add(point.x);
    }
    if (time_.is_empty || time_.high == time_.low) time_ = {time_.low, time_.low + 1.0, false};
  }

  void run() {
    canvas_.text({kLeft, 18.0}, picture_.title, {.size = 13.0, .bold = true});
    double top = kTop;
    for (const TracePanel& panel : picture_.panels) {
      draw(panel, top + kTitle + (panel.marks.empty() ? 0.0 : kMarks));
      top += height(panel);
    }
    const double base = top - kGap;
    for (const double tick : axis_ticks(time_.low, time_.high, false)) {
      canvas_.text({at(tick), base + 16.0}, tick_label(tick), {.anchor = Anchor::kMiddle});
    }
    canvas_.text({0.5 * (kLeft + kWidth - kRight), base + 34.0}, picture_.x_label,
                 {.size = 12.0, .anchor = Anchor::kMiddle});
  }
  static double height(const TracePanel& panel) {
    return kTitle + (panel.marks.empty() ? 0.0 : kMarks) + kCurves + kGap;
  }

 private:
  double at(double x) const {
    return kLeft + (x - time_.low) / (time_.high - time_.low) * (kWidth - kLeft - kRight);
  }

  void draw(const TracePanel& panel, double top) {
    Range values;
    const auto bounded = [&](double y) { return std::clamp(y, -panel.most, panel.most); };
    for (const Point& point : panel.line) values.add(bounded(point.y));
    for (const Point& point : panel.dashed) values.add(bounded(point.y));
    values.widen();
    const auto height_of = [&](double y) {
      return top + (values.high - bounded(y)) / (values.high - values.low) * kCurves;
    };
    canvas_.text({kLeft, top - 6.0 - (panel.marks.empty() ? 0.0 : kMarks)}, panel.title, {.bold = true});
    axes(panel, values, top, height_of);
    std::vector<Point> dashed;
    for (const Point& point : panel.dashed) dashed.push_back({at(point.x), height_of(point.y)});
    canvas_.polyline(dashed, {series_color(1), 1.2, true});
    std::vector<Point> line;
    for (const Point& point : panel.line) {
      line.push_back({at(point.x), height_of(point.y)});
      if (panel.steps) line.push_back({at(point.x + 1.0), height_of(point.y)});
    }
    canvas_.polyline(line, {series_color(0), 1.4});
    marks(panel, top);
  }

  template <class Height>
  void axes(const TracePanel& panel, const Range& values, double top, const Height& height_of) {
    Strokes grid;
    for (const double tick : axis_ticks(time_.low, time_.high, false)) {
      grid.add({at(tick), top}, {at(tick), top + kCurves});
    }
    for (const double tick : axis_ticks(values.low, values.high, false, 3)) {
      if (tick > values.high) continue;
      grid.add({kLeft, height_of(tick)}, {kWidth - kRight, height_of(tick)});
      canvas_.text({kLeft - 7.0, height_of(tick) + 4.0}, tick_label(tick), {.anchor = Anchor::kEnd});
    }
    canvas_.polyline(grid.points, {kGridColor, 0.7});
    canvas_.line({kLeft, top + kCurves}, {kWidth - kRight, top + kCurves}, {});
    canvas_.line({kLeft, top}, {kLeft, top + kCurves}, {});
    canvas_.text({18.0, top + 0.5 * kCurves}, panel.y_label, {.anchor = Anchor::kMiddle, .upwards = true});
  }

  // Bars in the strip above the curves; negative ones hang down, in another colour.
  void marks(const TracePanel& panel, double top) {
    double most = 1.0;
    bool has_negative = false;
    for (const Point& mark : panel.marks) {
      most = std::max(most, std::abs(mark.y));
      has_negative = has_negative || mark.y < 0.0;
    }
    const double room = kMarks - 4.0;
    const double base = top - 3.0 - (has_negative ? 0.5 * room : 0.0);
    const double scale = (has_negative ? 0.5 : 1.0) * room / most;
    Strokes above;
    Strokes below;
    for (const Point& mark : panel.marks) {
      if (mark.y == 0.0) continue;
      (mark.y > 0.0 ? above : below).add({at(mark.x), base}, {at(mark.x), base - scale * mark.y});
    }
    canvas_.polyline(above.points, {kInk, 1.6});
    canvas_.polyline(below.points, {series_color(1), 1.6});
  }

  const TracePanels& picture_;
  Canvas& canvas_;
  Range time_;
};

}  // namespace

std::string TracePanels::draw(PlotFormat format) const {
  double height = kTop + kBottom - kGap;
  for (const TracePanel& panel : panels) height += Drawing::height(panel);
  Canvas canvas(kWidth, height, format);
  Drawing(*this, canvas).run();
  return canvas.bytes();
}

}  // namespace spikegpt
