#include "spikegpt/train/metrics_log.h"

#include <ctime>
#include <sstream>
#include <utility>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/host_name.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/simd.h"

namespace spikegpt {
namespace {

SessionRecord session_of(const Json& json) {
  SessionRecord session;
  const auto text = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : std::string();
  };
  session.host = text("host");
  session.simd = text("simd");
  session.precision = text("precision");
  return session;
}

// The lines of earlier sessions up to `last_step`, and the last of these sessions. A last line cut short by a crash is
// dropped.
std::string kept_lines(const std::filesystem::path& path, std::int64_t last_step,
                       std::optional<SessionRecord>& last_session) {
  std::string kept;
  if (!std::filesystem::exists(path)) return kept;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_bounded_json(line);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    if (json["step"].get<std::int64_t>() > last_step) continue;
    kept += line + "\n";
    if (json.contains("session")) last_session = session_of(json["session"]);
  }
  return kept;
}

const std::filesystem::path& begin_file(const std::filesystem::path& path, std::int64_t last_step,
                                        std::optional<SessionRecord>& last_session) {
  write_text_atomically(path, last_step > 0 ? kept_lines(path, last_step, last_session) : "");
  return path;
}

// The densities of the products only where some read spikes.
void put(Json& json, const std::string& prefix, const Densities& activity) {
  json[prefix + "firing_rate"] = activity.firing_rate;
  if (activity.synops == 0.0) return;
  json[prefix + "synop_density"] = activity.synops;
  json[prefix + "active_row_density"] = activity.active_rows;
}

}  // namespace

SessionRecord this_session(std::string_view precision) {
  return {host_name(), simd_target(), std::string(precision), thread_count(), std::time(nullptr)};
}

bool compute_the_same(const SessionRecord& a, const SessionRecord& b) {
  if (a.precision != b.precision) return false;
  return a.simd == b.simd || (a.precision == "f32" && a.simd != "baseline" && b.simd != "baseline");
}

MetricsLog::MetricsLog(const std::filesystem::path& path, std::int64_t last_step)
    : file_(begin_file(path, last_step, last_session_)), events_(path.parent_path()) {}

void MetricsLog::write(const StepReport& report, double seconds, double tokens_per_second) {
  if (!session_.is_null()) write_line(std::exchange(session_, nullptr));
  Json json;
  json["step"] = report.step;
  json["loss"] = report.loss;
  json["bits"] = report.bits();
  json["grad_norm"] = report.gradient_norm;
  json["lr"] = report.lr;
  put(json, "", report.activity);
  if (report.found_weight > 0.0) json["found_weight"] = report.found_weight;
  json["tokens"] = report.tokens;
  json["tokens_per_second"] = tokens_per_second;
  if (report.waited > 0.0) json["waited"] = report.waited;
  json["seconds"] = seconds;
  write_line(json);
  events_.write(report.step, {{"train/loss", report.loss},
                              {"train/bits", report.bits()},
                              {"train/gradient_norm", report.gradient_norm},
                              {"train/learning_rate", report.lr},
                              {"train/firing_rate", report.activity.firing_rate},
                              {"train/synop_density", report.activity.synops},
                              {"train/active_row_density", report.activity.active_rows},
                              {"train/tokens_per_second", tokens_per_second}});
}

void MetricsLog::begin_session(std::int64_t step, const SessionRecord& session, double seconds) {
  session_["step"] = step;
  session_["session"] = {{"host", session.host},
                         {"simd", session.simd},
                         {"precision", session.precision},
                         {"threads", session.threads},
                         {"unix_time", session.unix_time}};
  session_["seconds"] = seconds;
}

void MetricsLog::write(std::int64_t step, const EvaluationResult& result, const std::vector<SpikeSite>& sites,
                       double seconds) {
  Json json;
  json["step"] = step;
  json["valid_loss"] = result.loss;
  json["valid_bits"] = result.bits();
  put(json, "valid_", result.activity);
  for (std::size_t i = 0; i < sites.size(); ++i) {
    json["site_firing_rates"][sites[i].name] = result.sites.at(i).firing_rate;
    if (sites[i].fan_out == 0) continue;
    json["site_synop_densities"][sites[i].name] = result.sites[i].synops;
    json["site_active_row_densities"][sites[i].name] = result.sites[i].active_rows;
  }
  json["valid_tokens"] = result.tokens;
  json["seconds"] = seconds;
  write_line(json);
  events_.write(
      step, {{"valid/loss", result.loss},
             {"valid/bits", result.bits()},
             {"valid/firing_rate", result.activity.firing_rate},
             {"valid/synop_density", result.activity.synops},
             {"valid/active_row_density", result.activity.active_rows}});
}

void MetricsLog::write_sample(std::int64_t step, const std::string& text, double seconds) {
  Json json;
  json["step"] = step;
  json["sample"] = text;
  json["seconds"] = seconds;
  write_line(json);
}

void MetricsLog::write_note(std::int64_t step, const std::string& note, double seconds) {
  Json json;
  json["step"] = step;
  json["note"] = note;
  json["seconds"] = seconds;
  write_line(json);
}

void MetricsLog::write_line(const Json& json) {
  file_.append(json_text(json) + '\n');
}

}  // namespace spikegpt
