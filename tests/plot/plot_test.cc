// Pictures: well-formed, with what they were given, and no input that breaks them.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "spikegpt/plot/line_chart.h"
#include "spikegpt/plot/raster.h"
#include "tests/text/expect_error.h"

#if defined(__SANITIZE_ADDRESS__)
// The library of fonts keeps a few tables until the process ends.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }
#endif

namespace spikegpt::test {
namespace {

constexpr const char* kPngSignature = "\x89PNG\r\n\x1a\n";

bool is_png(const std::string& bytes) {
  return bytes.starts_with(kPngSignature) && bytes.find("IEND") != std::string::npos;
}
// Elements of an SVG that open and close.
bool is_svg(const std::string& bytes) {
  std::vector<std::string> open;
  std::size_t elements = 0;
  for (std::size_t at = bytes.find('<'); at != std::string::npos; at = bytes.find('<', at + 1)) {
    const std::size_t end = bytes.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = bytes.substr(at + 1, end - at - 1);
    if (tag.starts_with("?") || tag.starts_with("!")) continue;
    const std::string name = tag.substr(0, tag.find_first_of(" /\n", 1));
    if (tag.starts_with("/")) {
      if (open.empty() || "/" + open.back() != name) return false;
      open.pop_back();
    } else if (!tag.ends_with("/")) {
      open.push_back(name);
    }
    ++elements;
  }
  return open.empty() && elements > 3 && bytes.find("<svg") != std::string::npos;
}

Raster small_raster() {
  Raster raster;
  raster.title = "spikes";
  raster.tokens = 3;
  raster.panels.push_back({"layer 0", 0, 2, {1, 0, 0, -1, 3, 0}});
  return raster;
}

TEST(Ticks, AreRoundAndCoverTheRange) {
  EXPECT_EQ(axis_ticks(0.0, 10.0, false, 5), (std::vector<double>{0.0, 2.0, 4.0, 6.0, 8.0, 10.0}));
  EXPECT_EQ(axis_ticks(1.0, 100.0, true), (std::vector<double>{1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0}));
  EXPECT_TRUE(axis_ticks(1.0, 1.0, false).empty());
  EXPECT_TRUE(axis_ticks(0.0, std::numeric_limits<double>::infinity(), false).empty());
  EXPECT_LE(axis_ticks(-1e300, 1e300, false).size(), 100u);
}

TEST(PlotFormat, ComesFromTheName) {
  EXPECT_EQ(plot_format("a/b.svg"), PlotFormat::kSvg);
  EXPECT_EQ(plot_format("b.png"), PlotFormat::kPng);
  expect_error(ErrorKind::kInvalidArgument, {"c.pdf", ".svg", ".png"}, [] { plot_format("c.pdf"); });
}

TEST(LineChart, DrawsBothFormats) {
  LineChart chart;
  chart.title = "a title";
  chart.series = {{"one", {{0.0, 1.0}, {1.0, 2.0}}}, {"two", {{0.0, 3.0}}}};
  chart.reference_y = 1.5;
  EXPECT_TRUE(is_svg(chart.draw(PlotFormat::kSvg)));
  EXPECT_TRUE(is_png(chart.draw(PlotFormat::kPng)));
}

TEST(LineChart, LeavesOutWhatCannotBeDrawn) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  for (const bool logarithmic : {false, true}) {
    LineChart chart;
    chart.log_x = logarithmic;
    chart.log_y = logarithmic;
    EXPECT_TRUE(is_svg(chart.draw(PlotFormat::kSvg))) << "nothing to draw";
    chart.series = {{"", {{nan, 1.0}, {1.0, infinity}, {0.0, 0.0}, {-1.0, 2.0}}}};
    EXPECT_TRUE(is_svg(chart.draw(PlotFormat::kSvg)));
    EXPECT_EQ(chart.draw(PlotFormat::kSvg).find("nan"), std::string::npos);
    chart.series[0].points = {{2.0, 2.0}};
    EXPECT_TRUE(is_svg(chart.draw(PlotFormat::kSvg))) << "one point";
  }
}

TEST(LineChart, TextIsData) {
  LineChart chart;
  chart.title = std::string("<script>&\"' \xff\xc0\xaf \xed\xa0\x80 \x01\n") + '\0' + "end \xf0\x9f\xa6\x94";
  chart.x_label = "\xef\xbf\xbe";
  EXPECT_TRUE(is_svg(chart.draw(PlotFormat::kSvg)));
  EXPECT_EQ(chart.draw(PlotFormat::kSvg).find("<script"), std::string::npos);
  EXPECT_TRUE(is_png(chart.draw(PlotFormat::kPng)));
}

TEST(Raster, DrawsSpikesOfAllKinds) {
  Raster raster = small_raster();
  EXPECT_TRUE(is_svg(raster.draw(PlotFormat::kSvg)));
  EXPECT_TRUE(is_png(raster.draw(PlotFormat::kPng)));
  // Every kind of spike looks different from silence and from the others.
  const std::string base = raster.draw(PlotFormat::kPng);
  std::vector<std::string> pictures;
  for (const int spike : {0, 1, -1, 2}) {
    raster.panels[0].spikes[1] = static_cast<std::int8_t>(spike);
    pictures.push_back(raster.draw(PlotFormat::kPng));
  }
  EXPECT_EQ(pictures[0], base);
  EXPECT_NE(pictures[1], pictures[0]);
  EXPECT_NE(pictures[2], pictures[0]);
  EXPECT_NE(pictures[2], pictures[1]);
  raster.token_labels = {"a", "\xff", ""};
  EXPECT_TRUE(is_svg(raster.draw(PlotFormat::kSvg)));
}

TEST(Raster, OneNeuronOneTokenAndNone) {
  Raster raster;
  EXPECT_TRUE(is_svg(raster.draw(PlotFormat::kSvg)));
  raster.tokens = 1;
  raster.panels.push_back({"one", 7, 1, {1}});
  EXPECT_TRUE(is_png(raster.draw(PlotFormat::kPng)));
  raster.tokens = 0;
  raster.panels[0].spikes.clear();
  EXPECT_TRUE(is_png(raster.draw(PlotFormat::kPng)));
}

TEST(Raster, ManyNeuronsShareAPixelAndALoneSpikeIsStillSeen) {
  Raster raster;
  raster.tokens = 3000;
  raster.panels.push_back({"wide", 0, 900, std::vector<std::int8_t>(3000 * 900)});
  const std::string silent = raster.draw(PlotFormat::kPng);
  raster.panels[0].spikes[12345] = 1;
  EXPECT_NE(raster.draw(PlotFormat::kPng), silent);
  EXPECT_LT(silent.size(), std::size_t{1} << 20);
}

TEST(Raster, RefusesAPictureTooLargeToDraw) {
  Raster raster;
  raster.tokens = 1;
  for (int i = 0; i < 1000; ++i) raster.panels.push_back({"p", 0, 1, {0}});
  expect_error(ErrorKind::kInvalidArgument, {"too large"}, [&] { raster.draw(PlotFormat::kSvg); });
}

}  // namespace
}  // namespace spikegpt::test
