#include "spikegpt/report/run_page.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "spikegpt/core/error.h"
#include "spikegpt/report/html.h"
#include "spikegpt/report/run_charts.h"

namespace spikegpt {
namespace {

constexpr std::size_t kSamplesShown = 40;

std::string figure(double value, const char* format = "{:.4f}") {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "-";
}

std::string percent(double value) {
  return std::isfinite(value) && value > 0.0 ? fmt::format("{:.1f} %", 100.0 * value) : "-";
}

std::string time_span(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

std::string moment(std::int64_t unix_time) {
  const std::time_t time = unix_time;
  std::tm parts = {};
  if (unix_time <= 0 || gmtime_r(&time, &parts) == nullptr) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", parts);
}

std::string megabytes(std::uintmax_t bytes) { return fmt::format("{:.1f} MB", 1e-6 * static_cast<double>(bytes)); }

// Tokens learned from; lines may have been left out, so from the last step.
double tokens_seen(const RunLog& log) { return log.steps.empty() ? 0.0 : log.last_step() * log.steps.back().tokens; }

std::string size_of(const ReportedRun& run) {
  const std::string shape = fmt::format("{} {} x {}", run.log.setting("model", "arch"),
                                        run.log.setting("model", "n_layer"), run.log.setting("model", "n_embd"));
  return run.parameters > 0 ? fmt::format("{}, {:.2f} M parameters", shape, 1e-6 * static_cast<double>(run.parameters))
                            : shape;
}

std::string progress_of(const RunLog& log) {
  const std::string step = figure(log.last_step(), "{:.0f}");
  const std::string minutes = log.setting("train", "minutes");
  if (minutes != "-" && minutes != "0.0")
    return fmt::format("{} ({} of {} min)", step, time_span(log.seconds()), minutes);
  return fmt::format("{} of {}", step, log.setting("train", "steps"));
}

struct Figure {
  std::string name;
  std::string value;
};

std::vector<Figure> figures_of(const ReportedRun& run) {
  const RunLog& log = run.log;
  const EvaluationLine* const best = log.best();
  const bool evaluated = !log.evaluations.empty();
  return {{"held-out bits per " + run.unit, evaluated ? figure(log.evaluations.back().bits) : "-"},
          {"lowest", best != nullptr ? fmt::format("{:.4f} (step {:.0f})", best->bits, best->step) : "-"},
          {"training bits, last step", log.steps.empty() ? "-" : figure(log.steps.back().bits)},
          {"firing rate, held-out", evaluated ? percent(log.evaluations.back().firing_rate) : "-"},
          {"steps", progress_of(log)},
          {"millions of tokens seen", figure(1e-6 * tokens_seen(log), "{:.2f}")},
          {"time of training", time_span(log.seconds())},
          {"tokens per second", log.steps.empty() ? "-" : figure(log.steps.back().tokens_per_second, "{:.0f}")}};
}

std::string tiles(const ReportedRun& run) {
  std::string html = "<div class=\"tiles\">\n";
  for (const Figure& tile : figures_of(run)) {
    html += fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", escape_html(tile.value),
                        escape_html(tile.name));
  }
  return html + "</div>\n";
}

std::string overview(std::span<const ReportedRun> runs) {
  HtmlTable table;
  table.header = {"run", "model"};
  const std::vector<Figure> names = figures_of(runs[0]);
  const bool same_unit =
      std::all_of(runs.begin(), runs.end(), [&](const auto& run) { return run.unit == runs[0].unit; });
  for (std::size_t i = 0; i < names.size(); ++i)
    table.header.push_back(i == 0 && !same_unit ? "held-out bits per token" : names[i].name);
  for (const ReportedRun& run : runs) {
    table.rows.push_back({run.log.name, size_of(run)});
    for (const Figure& cell : figures_of(run)) table.rows.back().push_back(cell.value);
  }
  return table.draw();
}

// Every setting of any run; marked where one differs from its default, or the runs from each other.
std::string settings_table(std::span<const ReportedRun> runs) {
  HtmlTable table;
  table.header = {"setting"};
  for (const ReportedRun& run : runs) table.header.push_back(runs.size() == 1 ? "value" : run.log.name);
  table.header.push_back("default");
  std::size_t differing = 0;
  for (const char* part : {"run", "model", "train"}) {
    const auto& known = runs[0].defaults;
    if (!known.contains(part)) continue;
    for (const auto& [key, ignored] : known[part].items()) {
      std::vector<std::string> row = {key};
      bool differs = false;
      for (const ReportedRun& run : runs) {
        row.push_back(run.log.setting(part, key.c_str()));
        const Json& usual = run.defaults[part][key];
        differs |= row.back() != (usual.is_string() ? usual.get<std::string>() : usual.dump());
        differs |= runs.size() > 1 && row.back() != row[1];
      }
      row.push_back(known[part][key].is_string() ? known[part][key].get<std::string>() : known[part][key].dump());
      const auto place = static_cast<std::ptrdiff_t>(differs ? differing++ : table.rows.size());
      table.rows.insert(table.rows.begin() + place, std::move(row));
    }
  }
  table.marked.assign(differing, true);
  const char* const meaning = runs.size() == 1 ? "differing from the default of its architecture"
                                               : "differing from the default, or between the runs";
  return fmt::format("<h2>Settings</h2>\n<p class=\"soft\">Marked, and first: {}.</p>\n", meaning) +
         folded("all settings", table.draw(), true);
}

std::string samples_of(const RunLog& log) {
  if (log.samples.empty()) return "";
  std::string html;
  const std::size_t count = log.samples.size();
  const std::size_t shown = std::min(count, kSamplesShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const TextLine& sample = log.samples[shown == 1 ? count - 1 : (shown - 1 - i) * (count - 1) / (shown - 1)];
    html += folded(fmt::format("step {:.0f}", sample.step), fmt::format("<pre>{}</pre>\n", escape_html(sample.text)),
                   i == 0);
  }
  const std::string left_out =
      shown < count ? fmt::format("<p class=\"soft\">{} of {}, evenly spread.</p>\n", shown, count) : "";
  return "<h3>What it wrote</h3>\n" + left_out + html;
}

std::string history_of(const RunLog& log) {
  std::string html;
  for (const TextLine& note : log.notes)
    html += fmt::format("<li>step {:.0f}: {}</li>\n", note.step, escape_html(note.text));
  for (std::size_t i = 0; i < log.sessions.size(); ++i) {
    const SessionLine& session = log.sessions[i];
    html += fmt::format("<li>{} at step {:.0f}: {} on {}, {:.0f} threads, {}, {} products</li>\n",
                        i == 0 ? "begun" : "resumed", session.step, moment(session.unix_time),
                        escape_html(session.host.empty() ? "an unnamed machine" : session.host), session.threads,
                        escape_html(session.simd), escape_html(session.precision));
  }
  return html.empty() ? "" : "<h3>Notes and sessions</h3>\n<ul class=\"notes\">\n" + html + "</ul>\n";
}

std::string checkpoints_of(const RunLog& log) {
  if (log.checkpoints.empty()) return "";
  HtmlTable table = {{"file", "size"}, {}, {}};
  for (const CheckpointFile& file : log.checkpoints) table.rows.push_back({file.name, megabytes(file.bytes)});
  return "<h3>Weights</h3>\n" + table.draw();
}

std::string faults_of(const RunLog& log) {
  if (log.faults.empty()) return "";
  std::string html;
  for (const std::string& fault : log.faults) html += fmt::format("{}<br>", escape_html(fault));
  return fmt::format("<p class=\"warning\">{}</p>\n", html);
}

std::string details_of(const ReportedRun& run) {
  std::string html;
  if (const std::string sites = site_charts(run.log); !sites.empty())
    html += "<h3>Firing rates by layer</h3>\n" + sites;
  return html + samples_of(run.log) + history_of(run.log) + checkpoints_of(run.log);
}

}  // namespace

std::string run_page(std::span<const ReportedRun> runs) {
  ensure(!runs.empty(), "a page of some run");
  if (runs.size() == 1) {
    const ReportedRun& run = runs[0];
    const std::string body = fmt::format("<h1>{}</h1>\n<p class=\"soft\">{}; text: {}</p>\n", escape_html(run.log.name),
                                         escape_html(size_of(run)), escape_html(run.log.setting("run", "data"))) +
                             faults_of(run.log) + tiles(run) + run_charts(runs) + details_of(run) +
                             settings_table(runs);
    return html_page(run.log.name, body);
  }
  std::string body = fmt::format("<h1>{} training runs</h1>\n", runs.size());
  body += overview(runs) + "<h2>Curves</h2>\n" + run_charts(runs) + settings_table(runs);
  for (const ReportedRun& run : runs) {
    body += fmt::format("<h2>{}</h2>\n", escape_html(run.log.name)) + faults_of(run.log) + details_of(run);
  }
  return html_page(fmt::format("{} training runs", runs.size()), body);
}

}  // namespace spikegpt
