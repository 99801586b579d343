#include "spikegpt/plot/canvas.h"

#include <cairo-svg.h>
#include <cairo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr double kPngScale = 2.0;  // pixels per unit: sharp on dense screens and in print
constexpr double kMaxExtent = 16000.0;

cairo_status_t append(void* out, const unsigned char* data, unsigned int size) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data), size);
  return CAIRO_STATUS_SUCCESS;
}

bool is_finite(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }

// CRC-32 as PNG has it.
std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

// As a piece of text in front of the last piece, IEND, which has 12 bytes.
void add_png_mark(std::string& png) {
  constexpr std::size_t kEnd = 12;
  if (png.size() < kEnd) return;
  const auto number = [](std::uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
    return bytes;
  };
  const std::string content = std::string("tEXtComment") + '\0' + kPictureMark;
  const std::string piece = number(static_cast<std::uint32_t>(content.size() - 4)) + content + number(crc32(content));
  png.insert(png.size() - kEnd, piece);
}

}  // namespace

Color series_color(std::size_t index) {
  constexpr std::array<Color, 7> kColors = {{{0.0, 0.447, 0.698},
                                             {0.835, 0.369, 0.0},
                                             {0.0, 0.62, 0.451},
                                             {0.8, 0.475, 0.655},
                                             {0.337, 0.706, 0.914},
                                             {0.902, 0.624, 0.0},
                                             {0.35, 0.35, 0.35}}};
  return kColors[index % kColors.size()];
}

PlotFormat plot_format(const std::filesystem::path& path) {
  if (path.extension() == ".svg") return PlotFormat::kSvg;
  if (path.extension() == ".png") return PlotFormat::kPng;
  throw Error(ErrorKind::kInvalidArgument, "{}: a picture's name ends in .svg or .png", path.string());
}

struct Canvas::Implementation {
  std::string bytes;
  PlotFormat format;
  cairo_surface_t* surface = nullptr;
  cairo_t* cairo = nullptr;

  void set(Color color) const { cairo_set_source_rgb(cairo, color.red, color.green, color.blue); }
  void stroke(const LineStyle& style) const {
    set(style.color);
    cairo_set_line_width(cairo, style.width);
    constexpr double kDash[] = {4.0, 3.0};
    cairo_set_dash(cairo, kDash, style.dashed ? 2 : 0, 0.0);
    cairo_stroke(cairo);
  }
  void check() const {
    const cairo_status_t status = cairo_status(cairo);
    if (status == CAIRO_STATUS_SUCCESS) return;
    throw Error(status == CAIRO_STATUS_NO_MEMORY ? ErrorKind::kMemory : ErrorKind::kInvalidArgument,
                "could not draw a picture: {}", cairo_status_to_string(status));
  }
};

Canvas::Canvas(double width, double height, PlotFormat format) : implementation_(std::make_unique<Implementation>()) {
  Implementation& im = *implementation_;
  im.format = format;
  if (!(width > 0.0 && height > 0.0 && width <= kMaxExtent && height <= kMaxExtent)) {
    throw Error(ErrorKind::kInvalidArgument,
                "a picture of {:.0f} x {:.0f} is too large: show fewer tokens, layers or neurons", width, height);
  }
  if (format == PlotFormat::kSvg) {
    im.surface = cairo_svg_surface_create_for_stream(append, &im.bytes, width, height);
  } else {
    im.surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(std::ceil(width * kPngScale)),
                                            static_cast<int>(std::ceil(height * kPngScale)));
  }
  im.cairo = cairo_create(im.surface);
  if (format == PlotFormat::kPng) cairo_scale(im.cairo, kPngScale, kPngScale);
  im.check();
  fill({0.0, 0.0, width, height}, {1.0, 1.0, 1.0});
}

Canvas::~Canvas() {
  cairo_destroy(implementation_->cairo);
  cairo_surface_destroy(implementation_->surface);
}

void Canvas::line(Point from, Point to, const LineStyle& style) {
  const Point points[] = {from, to};
  polyline(points, style);
}

void Canvas::polyline(std::span<const Point> points, const LineStyle& style) {
  bool drawing = false;
  for (const Point& point : points) {
    if (!is_finite(point)) {
      drawing = false;
      continue;
    }
    if (drawing) {
      cairo_line_to(implementation_->cairo, point.x, point.y);
    } else {
      cairo_move_to(implementation_->cairo, point.x, point.y);
    }
    drawing = true;
  }
  implementation_->stroke(style);
}

void Canvas::fill(const Box& box, Color color) {
  implementation_->set(color);
  cairo_rectangle(implementation_->cairo, box.x, box.y, box.width, box.height);
  cairo_fill(implementation_->cairo);
}

void Canvas::dot(Point at, double radius, Color color) {
  if (!is_finite(at)) return;
  constexpr double kTurn = 6.283185307179586;
  implementation_->set(color);
  cairo_arc(implementation_->cairo, at.x, at.y, radius, 0.0, kTurn);
  cairo_fill(implementation_->cairo);
}

void Canvas::text(Point at, std::string_view text, const TextStyle& style) {
  cairo_t* const cairo = implementation_->cairo;
  const std::string shown = displayable(text);
  cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                         style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cairo, style.size);
  cairo_text_extents_t extents;
  cairo_text_extents(cairo, shown.c_str(), &extents);
  const double shift = style.anchor == Anchor::kStart ? 0.0 : style.anchor == Anchor::kMiddle ? 0.5 : 1.0;
  implementation_->set(style.color);
  cairo_save(cairo);
  cairo_translate(cairo, at.x, at.y);
  if (style.upwards) cairo_rotate(cairo, -1.5707963267948966);
  cairo_move_to(cairo, -shift * extents.x_advance, 0.0);
  cairo_show_text(cairo, shown.c_str());
  cairo_restore(cairo);
}

void Canvas::image(const Box& box, std::int64_t columns, std::int64_t rows, std::span<const Color> pixels) {
  ensure(columns > 0 && rows > 0 && static_cast<std::int64_t>(pixels.size()) == columns * rows,
         "pixels of another shape");
  cairo_surface_t* const picture =
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(columns), static_cast<int>(rows));
  const int stride = cairo_image_surface_get_stride(picture);
  unsigned char* const data = cairo_image_surface_get_data(picture);
  if (data != nullptr) {
    const auto channel = [](double value) {
      return static_cast<std::uint32_t>(std::lround(255.0 * std::clamp(value, 0.0, 1.0)));
    };
    for (std::int64_t r = 0; r < rows; ++r) {
      auto* const row = reinterpret_cast<std::uint32_t*>(data + r * stride);
      for (std::int64_t c = 0; c < columns; ++c) {
        const Color& p = pixels[static_cast<std::size_t>(r * columns + c)];
        row[c] = channel(p.red) << 16 | channel(p.green) << 8 | channel(p.blue);
      }
    }
    cairo_surface_mark_dirty(picture);
  }
  cairo_t* const cairo = implementation_->cairo;
  cairo_save(cairo);
  cairo_translate(cairo, box.x, box.y);
  cairo_scale(cairo, box.width / static_cast<double>(columns), box.height / static_cast<double>(rows));
  cairo_set_source_surface(cairo, picture, 0.0, 0.0);
  cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_NEAREST);
  cairo_paint(cairo);
  cairo_restore(cairo);
  cairo_surface_destroy(picture);
  implementation_->check();
}

std::string Canvas::bytes() {
  Implementation& im = *implementation_;
  im.check();
  cairo_surface_flush(im.surface);
  if (im.format == PlotFormat::kPng) {
    cairo_surface_write_to_png_stream(im.surface, append, &im.bytes);
    add_png_mark(im.bytes);
  } else {
    cairo_surface_finish(im.surface);
    im.bytes += fmt::format("<!-- {} -->\n", kPictureMark);
  }
  return im.bytes;
}

}  // namespace spikegpt
