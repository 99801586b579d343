#include "spikegpt/report/run_log.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/text/lines.h"

namespace spikegpt {
namespace {

constexpr std::size_t kFaultsNamed = 5;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

double number(const Json& json, const char* key) {
  const auto field = json.find(key);
  return field != json.end() && field->is_number() ? field->get<double>() : kMissing;
}

std::string text(const Json& json, const char* key) {
  const auto field = json.find(key);
  return field != json.end() && field->is_string() ? field->get<std::string>() : "";
}

SessionLine session_of(const Json& line) {
  const Json& session = line["session"];
  SessionLine begun = {number(line, "step"),       text(session, "host"),      text(session, "simd"),
                       text(session, "precision"), number(session, "threads"), 0};
  const auto time = session.find("unix_time");
  if (time != session.end() && time->is_number_integer()) begun.unix_time = time->get<std::int64_t>();
  return begun;
}

EvaluationLine evaluation_of(const Json& line) {
  EvaluationLine evaluation = {
      number(line, "step"), number(line, "valid_bits"), number(line, "valid_firing_rate"), number(line, "seconds"), {}};
  const auto sites = line.find("site_firing_rates");
  if (sites == line.end() || !sites->is_object()) return evaluation;
  for (const auto& [name, rate] : sites->items()) {
    evaluation.site_rates.emplace_back(name, rate.is_number() ? rate.get<double>() : kMissing);
  }
  return evaluation;
}

// False for a line of no known kind.
bool take(const Json& line, RunLog& log) {
  if (!line.is_object() || std::isnan(number(line, "step"))) return false;
  const double step = number(line, "step");
  if (line.contains("loss")) {
    log.steps.push_back({step, number(line, "bits"), number(line, "grad_norm"), number(line, "lr"),
                         number(line, "firing_rate"), number(line, "tokens"), number(line, "tokens_per_second"),
                         number(line, "seconds")});
  } else if (line.contains("valid_loss")) {
    log.evaluations.push_back(evaluation_of(line));
  } else if (line.contains("sample")) {
    log.samples.push_back({step, text(line, "sample")});
  } else if (line.contains("note")) {
    log.notes.push_back({step, text(line, "note")});
  } else if (line.contains("session") && line["session"].is_object()) {
    log.sessions.push_back(session_of(line));
  } else {
    return false;
  }
  return true;
}

void read_metrics(const std::filesystem::path& path, RunLog& log) {
  const std::string content = read_text(path);
  std::size_t damaged = 0;
  const bool whole = content.empty() || content.ends_with('\n');
  const auto end = content.rfind('\n');
  for_each_line(content.substr(0, end == std::string::npos ? 0 : end + 1),
                [&](std::size_t number, std::string_view line) {
                  if (take(parse_bounded_json(line), log)) return;
                  if (++damaged <= kFaultsNamed)
                    log.faults.push_back(fmt::format("metrics.jsonl, line {}: damaged, left out", number));
                });
  if (damaged > kFaultsNamed)
    log.faults.push_back(fmt::format("metrics.jsonl: {} further damaged lines", damaged - kFaultsNamed));
  if (!whole)
    log.faults.push_back("metrics.jsonl: the last line is not complete; it is being written, or the run was killed");
}

void read_settings(const std::filesystem::path& path, RunLog& log) {
  Json json = read_json_file(path);
  if (json.is_object()) {
    log.settings = std::move(json);
  } else {
    log.faults.push_back("train.json: not a JSON object, left out");
  }
}

void find_weights(const std::filesystem::path& folder, RunLog& log) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "checkpoints", failure)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file(failure) && !name.ends_with(".tmp"))
      log.checkpoints.push_back({"checkpoints/" + name, entry.file_size(failure)});
  }
  std::sort(log.checkpoints.begin(), log.checkpoints.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const char* name : {"model.safetensors", "best/model.safetensors"}) {
    const std::uintmax_t bytes = std::filesystem::file_size(folder / name, failure);
    if (!failure) log.checkpoints.push_back({name, bytes});
  }
}

}  // namespace

double RunLog::last_step() const {
  double last = kMissing;
  if (!evaluations.empty()) last = evaluations.back().step;
  if (!steps.empty()) last = std::fmax(last, steps.back().step);
  return last;
}

double RunLog::seconds() const {
  double last = kMissing;
  if (!evaluations.empty()) last = evaluations.back().seconds;
  if (!steps.empty()) last = std::fmax(last, steps.back().seconds);
  return last;
}

const EvaluationLine* RunLog::best() const {
  const EvaluationLine* best = nullptr;
  for (const EvaluationLine& evaluation : evaluations) {
    if (std::isfinite(evaluation.bits) && (best == nullptr || evaluation.bits < best->bits)) best = &evaluation;
  }
  return best;
}

std::string RunLog::setting(const char* part, const char* key) const {
  const auto fields = settings.find(part);
  if (fields == settings.end() || !fields->is_object() || !fields->contains(key)) return "-";
  const Json& value = (*fields)[key];
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

RunLog read_run(const std::filesystem::path& folder) {
  std::error_code failure;
  if (!std::filesystem::is_directory(folder, failure)) {
    throw Error(ErrorKind::kNotFound, "{} is not a folder; expected that of a training run (spikegpt train --out)",
                folder.string());
  }
  const bool has_metrics = std::filesystem::exists(folder / "metrics.jsonl");
  const bool has_settings = std::filesystem::exists(folder / "train.json");
  if (!has_metrics && !has_settings) {
    throw Error(ErrorKind::kNotFound, "{} holds no training run: it has neither metrics.jsonl nor train.json",
                folder.string());
  }
  RunLog log;
  const std::filesystem::path absolute = std::filesystem::absolute(folder).lexically_normal();
  log.name = (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
  if (has_metrics) read_metrics(folder / "metrics.jsonl", log);
  if (has_settings) read_settings(folder / "train.json", log);
  find_weights(folder, log);
  return log;
}

}  // namespace spikegpt
