#include "spikegpt/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/plot/line_chart.h"
#include "spikegpt/report/html.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr double kMarginLeft = 50.0;
constexpr double kMarginRight = 14.0;
constexpr double kMarginTop = 10.0;
constexpr double kMarginBottom = 40.0;
constexpr std::size_t kTableRows = 25;

struct Extent {
  double low = 0.0;
  double high = 1.0;
  bool logarithmic = false;

  double fraction(double value) const {
    const auto scaled = [&](double v) { return logarithmic ? std::log10(v) : v; };
    return (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
  }
};

bool shows(double value, bool logarithmic) { return std::isfinite(value) && (!logarithmic || value > 0.0); }
bool shows(const ChartFigure& figure, const Point& p) { return shows(p.x, figure.log_x) && shows(p.y, figure.log_y); }

Extent extent_of(const std::vector<double>& values, bool logarithmic) {
  Extent extent = {0.0, 1.0, logarithmic};
  if (values.empty()) return logarithmic ? Extent{1.0, 10.0, true} : extent;
  extent.low = *std::min_element(values.begin(), values.end());
  extent.high = *std::max_element(values.begin(), values.end());
  if (extent.low == extent.high) {
    const double room = extent.low == 0.0 ? 1.0 : std::abs(extent.low) / 2.0;
    extent.low -= room;
    extent.high += room;
  }
  return extent;
}

Extent x_extent(const ChartFigure& figure) {
  std::vector<double> values;
  for (const Curve& curve : figure.curves) {
    for (const Point& p : curve.points) {
      if (shows(figure, p)) values.push_back(p.x);
    }
  }
  Extent extent = extent_of(values, figure.log_x);
  const bool only_dots = std::all_of(figure.curves.begin(), figure.curves.end(),
                                     [](const Curve& curve) { return curve.style == CurveStyle::kDots; });
  if (only_dots && !figure.log_x) {  // no dot on the edge
    const double room = 0.1 * (extent.high - extent.low);
    extent.low -= room;
    extent.high += room;
  }
  return extent;
}

// With some room above and below.
Extent y_extent(const ChartFigure& figure, const Extent& x) {
  std::vector<double> late;
  std::vector<double> all;
  for (const Curve& curve : figure.curves) {
    for (const Point& p : curve.points) {
      if (!shows(figure, p)) continue;
      all.push_back(p.y);
      if (x.fraction(p.x) >= figure.ignored_start) late.push_back(p.y);
    }
  }
  Extent y = extent_of(late.size() > 1 ? late : all, figure.log_y);
  if (figure.log_y) return {y.low / 1.1, y.high * 1.1, true};
  if (y.low > 0.0 && y.low < 0.3 * y.high) y.low = 0.0;
  const double room = 0.06 * (y.high - y.low);
  return {y.low == 0.0 ? 0.0 : y.low - room, y.high + room, false};
}

// One drawing of the figure, of fixed proportions.
class Drawing {
 public:
  Drawing(const ChartFigure& figure, double width, double height)
      : figure_(figure), width_(width), height_(height), x_(x_extent(figure)), y_(y_extent(figure, x_)) {}

  std::string draw(std::string_view css_class) const {
    std::string svg = fmt::format(
        "<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" tabindex=\"0\" aria-label=\"{}\" data-left=\"{}\" "
        "data-right=\"{}\">\n",
        css_class, width_, height_, escape_html(figure_.title), left(), right());
    svg += axes();
    // What lies above the axis is cut off by a picture within the picture.
    svg += fmt::format("<svg x=\"0\" y=\"{0}\" width=\"{1}\" height=\"{2}\" viewBox=\"0 {0} {1} {2}\">\n",
                       kMarginTop - 3.0, width_, bottom() - kMarginTop + 6.0);
    for (const Curve& curve : figure_.curves) svg += drawn(curve);
    svg += fmt::format("</svg><line class=\"cursor\" y1=\"{}\" y2=\"{}\"/></svg>\n", kMarginTop, bottom());
    return svg;
  }

 private:
  double left() const { return kMarginLeft; }
  double right() const { return width_ - kMarginRight; }
  double bottom() const { return height_ - kMarginBottom; }
  double at_x(double x) const { return left() + x_.fraction(x) * (right() - left()); }
  double at_y(double y) const { return bottom() - y_.fraction(y) * (bottom() - kMarginTop); }

  std::string axes() const {
    std::string svg;
    const int x_ticks = static_cast<int>(width_ / 80.0);
    for (const double tick : axis_ticks(x_.low, x_.high, x_.logarithmic, x_ticks)) {
      if (tick > x_.high || tick < x_.low) continue;
      svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>", at_x(tick),
                         kMarginTop, bottom());
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", at_x(tick), bottom() + 16.0,
                         tick_label(tick));
    }
    for (const double tick : axis_ticks(y_.low, y_.high, y_.logarithmic, 5)) {
      if (tick > y_.high || tick < y_.low) continue;
      svg += fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>", left(), right(),
                         at_y(tick));
      svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left() - 6.0, at_y(tick) + 4.0,
                         tick_label(tick));
    }
    svg += fmt::format("<line class=\"axis\" x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\"/>", left(), right(), bottom());
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", 0.5 * (left() + right()),
                       height_ - 6.0, escape_html(figure_.x_label));
    return svg;
  }

  std::string drawn(const Curve& curve) const {
    std::string path;
    std::string dots;
    bool drawing = false;
    const bool has_dots = curve.style == CurveStyle::kDots || curve.style == CurveStyle::kLineAndDots;
    for (const Point& p : curve.points) {
      const bool shown = shows(figure_, p);
      if (shown) path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", at_x(p.x), at_y(p.y));
      if (shown && (has_dots || curve.points.size() == 1)) {
        const double radius = curve.style == CurveStyle::kDots ? 6.0 : 3.0;
        dots += fmt::format("<circle class=\"dot c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", color_of(curve),
                            at_x(p.x), at_y(p.y), radius);
      }
      drawing = shown;
    }
    if (curve.style == CurveStyle::kDots || path.empty()) return dots + "\n";
    const char* const faint = curve.style == CurveStyle::kFaint ? " faint" : "";
    return fmt::format("<path class=\"curve{} c{}\" d=\"{}\"/>{}\n", faint, color_of(curve), path, dots);
  }

  static std::size_t color_of(const Curve& curve) { return curve.color % 7; }

  const ChartFigure& figure_;
  double width_;
  double height_;
  Extent x_;
  Extent y_;
};

std::string legend(const ChartFigure& figure) {
  std::string entries;
  std::set<std::size_t> named;
  for (const Curve& curve : figure.curves) {
    if (curve.style == CurveStyle::kFaint || !named.insert(curve.color).second) continue;
    entries += fmt::format("<li class=\"c{}\">{}</li>", curve.color % 7, escape_html(curve.name));
  }
  return named.size() > 1 ? "<ul class=\"legend\">" + entries + "</ul>\n" : "";
}

// What the script shows under the pointer.
std::string script_data(const ChartFigure& figure) {
  const Extent x = x_extent(figure);
  Json json = {{"low", x.low}, {"high", x.high}, {"log_x", x.logarithmic}, {"x_label", displayable(figure.x_label)}};
  json["series"] = Json::array();
  for (const Curve& curve : figure.curves) {
    if (curve.style == CurveStyle::kFaint) continue;
    Json points = Json::array();
    for (const Point& p : curve.points) {
      if (shows(figure, p)) points.push_back({p.x, Json::parse(fmt::format("{:.6g}", p.y))});
    }
    json["series"].push_back(
        {{"name", displayable(curve.name)}, {"color", curve.color % 7}, {"points", std::move(points)}});
  }
  return fmt::format("<script type=\"application/json\">{}</script>\n", escape_script(json_text(json)));
}

// The point of a curve near x, or null: the curve says nothing there.
const Point* point_near(const ChartFigure& figure, const Curve& curve, double x, const Extent& extent) {
  constexpr double kNear = 0.02;  // of the axis, as in the script
  const auto distance = [&](const Point& p) { return std::abs(extent.fraction(p.x) - extent.fraction(x)); };
  const Point* nearest = nullptr;
  for (const Point& p : curve.points) {
    if (shows(figure, p) && distance(p) < kNear && (nearest == nullptr || distance(p) < distance(*nearest)))
      nearest = &p;
  }
  return nearest;
}

// Some of the places, and what the curves are there.
std::string table_of(const ChartFigure& figure) {
  HtmlTable table;
  table.header.push_back(figure.x_label);
  std::set<double> places;
  for (const Curve& curve : figure.curves) {
    if (curve.style == CurveStyle::kFaint) continue;
    table.header.push_back(curve.name);
    for (const Point& p : thinned(curve.points, kTableRows)) {
      if (shows(figure, p)) places.insert(p.x);
    }
  }
  const Extent extent = x_extent(figure);
  const std::vector<double> all(places.begin(), places.end());
  const std::size_t stride = std::max<std::size_t>((all.size() + kTableRows - 1) / kTableRows, 1);
  for (std::size_t i = 0; i < all.size(); i += stride) {
    std::vector<std::string> row = {fmt::format("{:.6g}", all[i])};
    for (const Curve& curve : figure.curves) {
      if (curve.style == CurveStyle::kFaint) continue;
      const Point* const point = point_near(figure, curve, all[i], extent);
      row.push_back(point != nullptr ? fmt::format("{:.5g}", point->y) : "-");
    }
    table.rows.push_back(std::move(row));
  }
  return folded("as a table", table.draw());
}

}  // namespace

std::string ChartFigure::draw() const {
  const bool empty = std::none_of(curves.begin(), curves.end(), [&](const Curve& curve) {
    return std::any_of(curve.points.begin(), curve.points.end(), [&](const Point& p) { return shows(*this, p); });
  });
  std::string html =
      fmt::format("<figure class=\"{}\"><figcaption>{} <span>{}</span></figcaption>\n",
                  std::string(empty ? "" : "chart") + (hero ? " hero" : ""), escape_html(title), escape_html(remark));
  if (empty) return html + "<p class=\"soft\">Nothing yet.</p></figure>\n";
  html += legend(*this);
  if (hero) html += Drawing(*this, 1240.0, 400.0).draw("large");
  html += Drawing(*this, 420.0, 270.0).draw(hero ? "small" : "only");
  return html + table_of(*this) + script_data(*this) + "</figure>\n";
}

std::vector<Point> thinned(const std::vector<Point>& points, std::size_t count) {
  if (points.size() <= count || count == 0) return points;
  std::vector<Point> means;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = i * points.size() / count;
    const std::size_t end = (i + 1) * points.size() / count;
    Point sum;
    for (std::size_t k = first; k < end; ++k) {
      sum.x += points[k].x;
      sum.y += points[k].y;
    }
    const auto size = static_cast<double>(end - first);
    means.push_back({sum.x / size, sum.y / size});
  }
  // The ends stay where they are.
  means.front().x = points.front().x;
  means.back().x = points.back().x;
  return means;
}

std::vector<Point> smoothed(const std::vector<Point>& points, double width) {
  std::vector<Point> smooth;
  const double keep = width > 1.0 ? 1.0 - 1.0 / width : 0.0;
  double sum = 0.0;
  double weight = 0.0;
  for (const Point& p : points) {
    if (!std::isfinite(p.y)) {
      smooth.push_back(p);
      continue;
    }
    sum = keep * sum + p.y;
    weight = keep * weight + 1.0;
    smooth.push_back({p.x, sum / weight});
  }
  return smooth;
}

}  // namespace spikegpt
