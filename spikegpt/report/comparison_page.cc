#include "spikegpt/report/comparison_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "spikegpt/report/chart.h"
#include "spikegpt/report/run_charts.h"

namespace spikegpt {
namespace {

using Field = double ComparedModel::*;

std::vector<std::string> archs_of(const Comparison& comparison) {
  std::vector<std::string> archs;
  for (const ComparedModel& model : comparison.models) {
    if (std::find(archs.begin(), archs.end(), model.arch) == archs.end()) archs.push_back(model.arch);
  }
  return archs;
}

// Mean figures of the seeds of one architecture.
ComparedModel mean_of(const Comparison& comparison, const std::string& arch) {
  ComparedModel mean;
  mean.arch = arch;
  double count = 0.0;
  constexpr Field kFields[] = {&ComparedModel::bits,         &ComparedModel::firing_rate,   &ComparedModel::joules_twin,
                               &ComparedModel::joules_paper, &ComparedModel::joules_needed, &ComparedModel::dense_speed,
                               &ComparedModel::event_speed};
  for (const ComparedModel& model : comparison.models) {
    if (model.arch != arch) continue;
    for (const Field field : kFields) mean.*field += model.*field;
    mean.parameters = model.parameters;
    count += 1.0;
  }
  for (const Field field : kFields) mean.*field /= count;
  return mean;
}

// Loss against the model without neurons of the same seed, or mean against mean.
std::string to_rwkv(const ComparedModel& model, const ComparedModel* dense) {
  if (dense == nullptr || model.arch == dense->arch) return "";
  return fmt::format("{:+.1f} %", 100.0 * (model.bits / dense->bits - 1.0));
}

std::vector<std::string> row_of(const std::string& name, const ComparedModel& m, const ComparedModel* dense) {
  return {name,
          fmt::format("{:.2f} M", 1e-6 * static_cast<double>(m.parameters)),
          fmt::format("{:.4f}", m.bits),
          to_rwkv(m, dense),
          m.firing_rate > 0.0 ? fmt::format("{:.1f} %", 100.0 * m.firing_rate) : "-",
          fmt::format("{:.3g}", 1e6 * m.joules_twin),
          fmt::format("{:.3g}", 1e6 * m.joules_paper),
          fmt::format("{:.3g}", 1e6 * m.joules_needed),
          fmt::format("{:.0f}", m.dense_speed),
          fmt::format("{:.0f}", m.event_speed)};
}

// Quality against another figure, a colour an architecture.
ChartFigure scatter(const Comparison& comparison, const char* title, const std::string& x_label,
                    const std::function<double(const ComparedModel&)>& x,
                    const std::function<double(const ComparedModel&)>& y) {
  ChartFigure chart;
  chart.title = title;
  chart.x_label = x_label;
  const std::vector<std::string> archs = archs_of(comparison);
  for (std::size_t i = 0; i < archs.size(); ++i) {
    Curve curve = {archs[i], {}, i, CurveStyle::kDots};
    for (const ComparedModel& model : comparison.models) {
      if (model.arch == archs[i]) curve.points.push_back({x(model), y(model)});
    }
    std::sort(curve.points.begin(), curve.points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

std::string charts_of(const Comparison& comparison) {
  const std::string bits = "bits per " + comparison.unit;
  const auto quality = [](const ComparedModel& m) { return m.bits; };
  const auto energy = [](const ComparedModel& m) { return 1e6 * m.joules_needed; };
  const auto speed = [](const ComparedModel& m) { return std::max(m.dense_speed, m.event_speed); };
  const std::string energy_label = fmt::format("energy needed, uJ per {}", comparison.unit);
  const std::string speed_label = fmt::format("{}s per second, the faster path", comparison.unit);
  ChartFigure quality_energy = scatter(comparison, "Quality against energy", energy_label, energy, quality);
  quality_energy.remark = "held-out " + bits + ": lower left is better";
  ChartFigure quality_speed = scatter(comparison, "Quality against decoding speed", speed_label, speed, quality);
  quality_speed.remark = "held-out " + bits + ": lower right is better";
  ChartFigure energy_speed = scatter(comparison, "Energy against decoding speed", speed_label, speed, energy);
  energy_speed.remark = "uJ: lower right is better";
  return "<div class=\"charts\">\n" + quality_energy.draw() + quality_speed.draw() + energy_speed.draw() + "</div>\n";
}

}  // namespace

HtmlTable comparison_table(const Comparison& comparison) {
  HtmlTable table;
  table.header = {"model",           "parameters",     "held-out bits/" + comparison.unit,
                  "to rwkv",         "firing",         "(a) twin, uJ",
                  "(b) paper's, uJ", "(c) needed, uJ", "dense tok/s",
                  "event tok/s"};
  for (const ComparedModel& model : comparison.models) {
    const auto dense =
        std::find_if(comparison.models.begin(), comparison.models.end(),
                     [&](const ComparedModel& other) { return other.arch == "rwkv" && other.seed == model.seed; });
    table.rows.push_back(row_of(model.name(), model, dense == comparison.models.end() ? nullptr : &*dense));
  }
  const std::vector<std::string> archs = archs_of(comparison);
  if (archs.size() == comparison.models.size()) return table;
  const bool has_dense = std::find(archs.begin(), archs.end(), "rwkv") != archs.end();
  const ComparedModel dense = has_dense ? mean_of(comparison, "rwkv") : ComparedModel();
  table.marked.assign(table.rows.size(), false);
  for (const std::string& arch : archs) {
    table.rows.push_back(row_of(arch + ", mean", mean_of(comparison, arch), has_dense ? &dense : nullptr));
    table.marked.push_back(true);
  }
  return table;
}

std::string comparison_markdown(const Comparison& comparison) {
  const HtmlTable table = comparison_table(comparison);
  std::string text =
      fmt::format("# {}\n\n{}\n\n| {} |\n|", comparison.title, comparison.about, fmt::join(table.header, " | "));
  for (std::size_t i = 0; i < table.header.size(); ++i) text += i == 0 ? " --- |" : " ---: |";
  for (const auto& row : table.rows) text += fmt::format("\n| {} |", fmt::join(row, " | "));
  return text + "\n";
}

std::string comparison_page(const Comparison& comparison) {
  std::vector<ReportedRun> runs;
  for (const ComparedModel& model : comparison.models) {
    ReportedRun run;
    run.log = model.log;
    run.log.name = model.name();
    run.unit = comparison.unit;
    runs.push_back(std::move(run));
  }
  const std::string body =
      fmt::format("<h1>{}</h1>\n<p>{}</p>\n", escape_html(comparison.title), escape_html(comparison.about)) +
      comparison_table(comparison).draw() + "<p class=\"soft\">Energy per " + escape_html(comparison.unit) +
      ", products and element-wise work, 45 nm prices: (a) the non-spiking twin, every product in "
      "multiply-accumulates; (b) the paper's way, "
      "as if every product read spikes; (c) what the network needs. A model of a chip, not a "
      "measurement.</p>\n<h2>Against each other</h2>\n" +
      charts_of(comparison) + "<h2>Learning</h2>\n" + run_charts(runs);
  return html_page(comparison.title, body);
}

}  // namespace spikegpt
