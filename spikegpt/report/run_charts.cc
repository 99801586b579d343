#include "spikegpt/report/run_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "spikegpt/report/chart.h"
#include "spikegpt/report/heat_map.h"

namespace spikegpt {
namespace {

constexpr std::size_t kMaxPoints = 600;  // of a curve: more than a screen shows

std::vector<Point> step_points(const RunLog& log, double StepLine::*field) {
  std::vector<Point> points;
  for (const StepLine& line : log.steps) points.push_back({line.step, line.*field});
  return points;
}

std::vector<Point> evaluation_points(const RunLog& log, double EvaluationLine::*field) {
  std::vector<Point> points;
  for (const EvaluationLine& line : log.evaluations) points.push_back({line.step, line.*field});
  return points;
}

// Over about 2 % of the run.
std::vector<Point> smooth(const std::vector<Point>& points) {
  return thinned(smoothed(points, std::clamp(0.02 * static_cast<double>(points.size()), 1.0, 200.0)), kMaxPoints);
}

std::string training_name(std::span<const ReportedRun> runs, std::size_t i) {
  return runs.size() == 1 ? "training" : runs[i].log.name;
}
std::string held_out_name(std::span<const ReportedRun> runs, std::size_t i) {
  return runs.size() == 1 ? "held-out" : runs[i].log.name + ", held-out";
}

// Two curves of one run in two colours, or of several runs in one each.
std::size_t color_of(std::span<const ReportedRun> runs, std::size_t run, std::size_t curve) {
  return runs.size() == 1 ? curve : run;
}

ChartFigure loss_chart(std::span<const ReportedRun> runs) {
  ChartFigure chart;
  const bool same_unit =
      std::all_of(runs.begin(), runs.end(), [&](const auto& run) { return run.unit == runs[0].unit; });
  chart.title = fmt::format("Loss, bits per {}", same_unit ? runs[0].unit : "token");
  chart.remark = "training: running mean, each step faint; held-out: with dots";
  chart.x_label = "step";
  chart.hero = true;
  chart.ignored_start = 0.03;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> bits = step_points(runs[i].log, &StepLine::bits);
    chart.curves.push_back({"", thinned(bits, kMaxPoints), color_of(runs, i, 0), CurveStyle::kFaint});
    chart.curves.push_back({training_name(runs, i), smooth(bits), color_of(runs, i, 0), CurveStyle::kLine});
    chart.curves.push_back({held_out_name(runs, i),
                            thinned(evaluation_points(runs[i].log, &EvaluationLine::bits), kMaxPoints),
                            color_of(runs, i, 1), CurveStyle::kLineAndDots});
  }
  return chart;
}

struct StepChart {
  const char* title;
  const char* remark;
  double StepLine::*field;
  bool is_noisy;
};

ChartFigure step_chart(std::span<const ReportedRun> runs, const StepChart& what) {
  ChartFigure chart;
  chart.title = what.title;
  chart.remark = what.remark;
  chart.x_label = "step";
  chart.ignored_start = what.is_noisy ? 0.03 : 0.0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> points = step_points(runs[i].log, what.field);
    if (what.is_noisy) chart.curves.push_back({"", thinned(points, kMaxPoints), i, CurveStyle::kFaint});
    chart.curves.push_back({runs.size() == 1 ? what.title : runs[i].log.name,
                            what.is_noisy ? smooth(points) : thinned(points, kMaxPoints), i, CurveStyle::kLine});
  }
  return chart;
}

ChartFigure firing_chart(std::span<const ReportedRun> runs) {
  ChartFigure chart;
  chart.title = "Firing rate, %";
  chart.remark = "events per neuron and token";
  chart.x_label = "step";
  const auto percent = [](std::vector<Point> points) {
    for (Point& p : points) p.y *= 100.0;
    return points;
  };
  const auto fires = [](const std::vector<Point>& points) {
    return std::any_of(points.begin(), points.end(), [](const Point& p) { return p.y > 0.0; });
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> training = step_points(runs[i].log, &StepLine::firing_rate);
    const std::vector<Point> held_out = evaluation_points(runs[i].log, &EvaluationLine::firing_rate);
    if (fires(training))
      chart.curves.push_back(
          {training_name(runs, i), percent(smooth(training)), color_of(runs, i, 0), CurveStyle::kLine});
    if (fires(held_out))
      chart.curves.push_back(
          {held_out_name(runs, i), percent(held_out), color_of(runs, i, 1), CurveStyle::kLineAndDots});
  }
  return chart;
}

// "ffn_in" of "spikes.3.ffn_in", and "3".
struct SiteName {
  std::string kind;
  std::string layer;
};
SiteName parse_site(const std::string& name) {
  const std::size_t last = name.rfind('.');
  const std::size_t first = name.find('.');
  if (first == std::string::npos || first == last) return {name.substr(last == std::string::npos ? 0 : last + 1), ""};
  return {name.substr(last + 1), name.substr(first + 1, last - first - 1)};
}

}  // namespace

std::string run_charts(std::span<const ReportedRun> runs) {
  std::string html = "<div class=\"charts\">\n" + loss_chart(runs).draw();
  const ChartFigure firing = firing_chart(runs);
  if (!firing.curves.empty()) html += firing.draw();
  for (const StepChart& what : {StepChart{"Gradient norm", "before clipping", &StepLine::gradient_norm, true},
                                StepChart{"Learning rate", "", &StepLine::lr, false},
                                StepChart{"Tokens per second", "running mean", &StepLine::tokens_per_second, false}}) {
    html += step_chart(runs, what).draw();
  }
  return html + "</div>\n";
}

std::string site_charts(const RunLog& log) {
  std::vector<std::string> columns;
  std::vector<std::string> kinds;                                           // in the order of a forward pass
  std::map<std::string, std::map<std::string, std::vector<double>>> rates;  // kind, site
  std::map<std::string, std::vector<std::string>> order;
  for (const EvaluationLine& evaluation : log.evaluations) {
    if (evaluation.site_rates.empty()) continue;
    for (const auto& [name, rate] : evaluation.site_rates) {
      const SiteName site = parse_site(name);
      if (!rates.contains(site.kind)) kinds.push_back(site.kind);
      const auto [entry, is_new] = rates[site.kind].try_emplace(name);
      if (is_new) order[site.kind].push_back(name);
      std::vector<double>& row = entry->second;
      row.resize(columns.size(), std::numeric_limits<double>::quiet_NaN());
      row.push_back(rate);
    }
    columns.push_back(fmt::format("step {:.0f}", evaluation.step));
  }
  std::string html;
  for (const std::string& kind : kinds) {
    HeatMap map = {kind, "events per neuron and token, held-out text; ", {}, columns, {}};
    for (const std::string& name : order[kind]) {
      const std::string layer = parse_site(name).layer;
      map.rows.push_back(layer.empty() ? kind : "layer " + layer);
      map.values.push_back(rates[kind][name]);
      map.values.back().resize(columns.size(), std::numeric_limits<double>::quiet_NaN());
    }
    html += map.draw();
  }
  return html.empty() ? html : "<div class=\"charts\">\n" + html + "</div>\n";
}

}  // namespace spikegpt
