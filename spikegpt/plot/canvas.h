// A page to draw on, that becomes an SVG or a PNG file. canvas.cc is the only file that sees the drawing library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace spikegpt {

struct Point {
  double x = 0.0;
  double y = 0.0;
};

struct Box {
  double x = 0.0;  // left
  double y = 0.0;  // top
  double width = 0.0;
  double height = 0.0;
};

struct Color {
  double red = 0.0;  // 0 to 1
  double green = 0.0;
  double blue = 0.0;
};

inline constexpr Color kInk = {0.13, 0.13, 0.13};
inline constexpr Color kGridColor = {0.85, 0.85, 0.85};
// Colours that stay apart for the colour-blind and in grey (Okabe and Ito), taken in turn.
Color series_color(std::size_t index);

enum class Anchor : std::uint8_t { kStart, kMiddle, kEnd };
enum class PlotFormat : std::uint8_t { kSvg, kPng };

// Stands in every picture, so that a command knows its own.
inline constexpr const char* kPictureMark = "drawn by spikegpt";

// From the file's extension. Throws Error (kInvalidArgument) that names .svg and .png for any other.
PlotFormat plot_format(const std::filesystem::path& path);

struct TextStyle {
  double size = 11.0;
  Anchor anchor = Anchor::kStart;
  bool bold = false;
  bool upwards = false;  // turned by a quarter
  Color color = kInk;
};

struct LineStyle {
  Color color = kInk;
  double width = 1.0;
  bool dashed = false;
};

// Coordinates in pixels (SVG: points) from the upper left corner. Coordinates that are not finite are left out.
class Canvas {
 public:
  Canvas(double width, double height, PlotFormat format);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void line(Point from, Point to, const LineStyle& style);
  void polyline(std::span<const Point> points, const LineStyle& style);
  void fill(const Box& box, Color color);
  void dot(Point at, double radius, Color color);
  // UTF-8; what is not, and control characters, are shown as U+FFFD.
  void text(Point at, std::string_view text, const TextStyle& style);
  // An image of columns x rows pixels, row by row, without smoothing.
  void image(const Box& box, std::int64_t columns, std::int64_t rows, std::span<const Color> pixels);

  // The finished file. Draw no more afterwards.
  std::string bytes();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace spikegpt
