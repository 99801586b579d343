// Pages of runs: whole, safe, and of whatever a run left.
#include "spikegpt/report/run_page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "spikegpt/report/chart.h"
#include "spikegpt/report/heat_map.h"
#include "spikegpt/report/html.h"
#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

// Elements that open and close in turn, outside scripts and style.
bool is_well_formed(std::string html) {
  for (const char* name : {"script", "style"}) {
    for (std::size_t at = 0; (at = html.find(std::string("<") + name, at)) != std::string::npos;) {
      const std::string end = std::string("</") + name + ">";
      const std::size_t close = html.find(end, at);
      if (close == std::string::npos) return false;
      html.erase(at, close + end.size() - at);
    }
  }
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /\n", 1));
    if (tag.starts_with("!") || name == "meta" || name == "link" || name == "br" || tag.ends_with("/")) continue;
    if (tag.starts_with("/")) {
      if (open.empty() || "/" + open.back() != name) return false;
      open.pop_back();
    } else {
      open.push_back(name);
    }
  }
  return open.empty();
}

// A page must load nothing.
void expect_self_contained(const std::string& html) {
  for (const char* word : {"http:", "https:", "src=", "@import", "url("})
    EXPECT_EQ(html.find(word), std::string::npos) << word;
  EXPECT_TRUE(is_well_formed(html));
}

class RunPageTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) const { std::ofstream(folder_ / name) << content; }
  ReportedRun run() const {
    ReportedRun run;
    run.log = read_run(folder_.path());
    run.defaults = {{"model", {{"n_layer", 12}}}, {"train", {{"lr", 6e-4}, {"steps", 1000}}}};
    return run;
  }
  std::string page() const {
    const ReportedRun one = run();
    return run_page(std::span(&one, 1));
  }
  TemporaryDirectory folder_;
};

constexpr const char* kStep =
    R"({"step":1,"loss":2.0,"bits":2.9,"grad_norm":0.5,"lr":0.001,"firing_rate":0.2,"tokens":32,"tokens_per_second":100.0,"seconds":0.5})";

TEST_F(RunPageTest, ShowsARunOfEveryKindOfLine) {
  write(
      "metrics.jsonl",
      std::string(kStep) + "\n" +
          R"({"step":1,"valid_loss":1.0,"valid_bits":1.4427,"valid_firing_rate":0.1,"site_firing_rates":{"spikes.0.att_in":0.25,"spikes.head_in":0.5},"valid_tokens":9,"seconds":1})"
          "\n"
          R"({"step":1,"sample":"a sample","seconds":1})"
          "\n"
          R"({"step":1,"note":"rolled back","seconds":1})"
          "\n"
          R"({"step":0,"session":{"host":"here","simd":"avx2","precision":"f32","threads":2,"unix_time":1700000000},"seconds":0})"
          "\n"
          R"({"step":1,"session":{"host":"there","simd":"avx2","precision":"f32","threads":2,"unix_time":1700000001},"seconds":1})"
          "\n");
  write("train.json", R"({"model":{"n_layer":2},"train":{"lr":0.01,"steps":1000}})");
  const std::string html = page();
  expect_self_contained(html);
  for (const char* word : {"1.4427", "a sample", "rolled back", "begun at step 0", "resumed at step 1", "there",
                           "2023-11-14 22:13 UTC", "25.00 %", "50.00 %"}) {
    EXPECT_NE(html.find(word), std::string::npos) << word;
  }
  EXPECT_NE(html.find("<tr class=\"marked\"><th scope=\"row\">lr</th><td>0.01</td><td>0.0006</td>"), std::string::npos);
  EXPECT_NE(html.find("<tr><th scope=\"row\">steps</th><td>1000</td>"), std::string::npos)
      << "not marked: as by default";
  EXPECT_EQ(html.find("class=\"warning\""), std::string::npos);
}

TEST_F(RunPageTest, TextCannotBecomeMarkup) {
  const std::string evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'";
  const Json sample = {{"step", 1}, {"sample", evil + std::string("\x01\x1b[2J\0z", 7)}};
  const Json note = {{"step", 1}, {"note", evil}};
  const Json sites = {{"step", 1}, {"valid_loss", 1.0}, {"valid_bits", 1.0}, {"site_firing_rates", {{evil, 0.5}}}};
  write("metrics.jsonl", std::string(kStep) + "\n" + sample.dump() + "\n" + note.dump() + "\n" + sites.dump() + "\n");
  write("train.json", Json({{"run", {{"data", evil}}}, {"model", {{"arch", evil}, {"n_layer", evil}}}}).dump());
  const std::string html = page();
  EXPECT_TRUE(is_well_formed(html));
  EXPECT_EQ(html.find("alert(1)</script>"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_NE(html.find("&lt;/script&gt;&lt;script&gt;"), std::string::npos);
  for (const char c : {'\x01', '\x1b', '\0'}) EXPECT_EQ(html.find(c), std::string::npos) << static_cast<int>(c);
}

TEST_F(RunPageTest, DamagedLinesAreNamedAndLeftOut) {
  std::string lines = std::string(kStep) + "\n{\"step\":2,\"loss\n[1]\n{\"step\":3}\n" + kStep + "\n";
  write("metrics.jsonl", lines);
  EXPECT_EQ(run().log.steps.size(), 2u);
  EXPECT_EQ(run().log.faults.size(), 3u);
  const std::string html = page();
  EXPECT_NE(html.find("metrics.jsonl, line 2: damaged"), std::string::npos);
  EXPECT_NE(html.find("line 4"), std::string::npos);
  write("metrics.jsonl", lines + "{\"step\":9,");
  EXPECT_NE(page().find("the last line is not complete"), std::string::npos);
  for (int i = 0; i < 100; ++i) lines += "\xff\xfe\n";
  write("metrics.jsonl", lines);
  EXPECT_LT(run().log.faults.size(), 10u) << "not one warning for each of many";
  EXPECT_TRUE(is_well_formed(page()));
}

TEST_F(RunPageTest, ValuesOfOtherTypesAreGaps) {
  write("metrics.jsonl", R"({"step":1,"loss":null,"bits":null,"lr":"x","grad_norm":[1]})"
                         "\n"
                         R"({"step":2,"valid_loss":null,"site_firing_rates":{"a":null}})"
                         "\n"
                         R"({"step":2,"valid_loss":1,"site_firing_rates":7})"
                         "\n"
                         R"({"step":1e300,"sample":7})"
                         "\n"
                         R"({"step":1,"session":{"threads":"x","unix_time":9223372036854775807}})"
                         "\n");
  write("train.json", "[1]");
  expect_self_contained(page());
  EXPECT_TRUE(std::isnan(run().log.steps.at(0).bits));
}

TEST_F(RunPageTest, OfARunWithNothingYetAndOfNone) {
  expect_error(ErrorKind::kNotFound, {"holds no training run"}, [&] { read_run(folder_.path()); });
  expect_error(ErrorKind::kNotFound, {"not a folder"}, [&] { read_run(folder_ / "none"); });
  write("metrics.jsonl", "");
  const std::string html = page();
  expect_self_contained(html);
  EXPECT_NE(html.find("Nothing yet"), std::string::npos);
}

TEST_F(RunPageTest, RunsBesideEachOtherAreToldApart) {
  write("metrics.jsonl", std::string(kStep) + "\n");
  write("train.json", R"({"model":{"n_layer":2},"train":{"lr":0.01,"steps":1000}})");
  ReportedRun first = run();
  ReportedRun second = run();
  first.log.name = "one";
  second.log.name = "two";
  second.log.settings["train"]["lr"] = 0.02;
  const ReportedRun both[] = {first, second};
  const std::string html = run_page(both);
  expect_self_contained(html);
  EXPECT_NE(html.find("<li class=\"c0\">one</li><li class=\"c1\">two</li>"), std::string::npos);
  EXPECT_NE(html.find("<td>0.01</td><td>0.02</td>"), std::string::npos);
}

TEST(ChartFigure, LeavesOutWhatCannotBeDrawn) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  ChartFigure chart;
  chart.curves.push_back({"a", {{1, kNan}, {kNan, 1}, {2, std::numeric_limits<double>::infinity()}}});
  EXPECT_NE(chart.draw().find("Nothing yet"), std::string::npos);
  chart.curves.push_back({"b", {{1, 5}, {2, kNan}, {3, 5}, {4, 6}}});
  const std::string html = chart.draw();
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
  EXPECT_TRUE(is_well_formed(html));
  chart.log_x = chart.log_y = true;
  chart.curves.push_back({"c", {{0, 1}, {-1, -1}, {10, 1e-3}}});
  EXPECT_EQ(chart.draw().find("nan"), std::string::npos);
}

TEST(ChartFigure, ThinsByMeansAndSmooths) {
  std::vector<Point> points;
  for (int i = 0; i < 1000; ++i) points.push_back({static_cast<double>(i), i % 2 == 0 ? 1.0 : 3.0});
  const auto few = thinned(points, 10);
  ASSERT_EQ(few.size(), 10u);
  for (const Point& p : few) EXPECT_EQ(p.y, 2.0);
  EXPECT_EQ(few.front().x, 0.0);
  EXPECT_EQ(few.back().x, 999.0);
  EXPECT_EQ(thinned(points, 5000).size(), points.size());
  EXPECT_NEAR(smoothed(points, 100.0).back().y, 2.0, 0.02);
  EXPECT_EQ(smoothed(points, 1.0).back().y, points.back().y);
}

TEST(HeatMap, ShowsFewOfManyColumns) {
  HeatMap map = {"t", "", {"r"}, {}, {{}}};
  for (int i = 0; i < 1000; ++i) {
    map.columns.push_back(std::to_string(i));
    map.values[0].push_back(0.001 * i);
  }
  const std::string html = map.draw();
  EXPECT_TRUE(is_well_formed(html));
  EXPECT_NE(html.find("r, 0: 0.00 %"), std::string::npos);
  EXPECT_NE(html.find("r, 999: 99.90 %"), std::string::npos);
  EXPECT_LT(html.size(), 30000u);
}

}  // namespace
}  // namespace spikegpt::test
