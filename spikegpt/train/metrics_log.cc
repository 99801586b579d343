#include "spikegpt/train/metrics_log.h"

#include <sstream>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"

namespace spikegpt {
namespace {

// The lines of an earlier session up to `last_step`. A last line cut short by a crash is dropped.
std::string kept_lines(const std::filesystem::path& path, std::int64_t last_step) {
  std::string kept;
  if (!std::filesystem::exists(path)) return kept;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    if (json["step"].get<std::int64_t>() <= last_step) kept += line + "\n";
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path, std::int64_t last_step) : path_(path), events_(path.parent_path()) {
  write_text_atomically(path, last_step > 0 ? kept_lines(path, last_step) : "");
  file_.open(path, std::ios::app | std::ios::binary);
  if (!file_) throw Error(ErrorKind::kIo, "cannot write {}", path.string());
}

void MetricsLog::write(const StepReport& report, double seconds, double tokens_per_second) {
  Json json;
  json["step"] = report.step;
  json["loss"] = report.loss;
  json["bits"] = report.bits();
  json["grad_norm"] = report.gradient_norm;
  json["lr"] = report.lr;
  json["firing_rate"] = report.firing_rate;
  json["tokens"] = report.tokens;
  json["tokens_per_second"] = tokens_per_second;
  if (report.waited > 0.0) json["waited"] = report.waited;
  json["seconds"] = seconds;
  write_line(json.dump());
  events_.write(report.step, {{"train/loss", report.loss},
                              {"train/bits", report.bits()},
                              {"train/gradient_norm", report.gradient_norm},
                              {"train/learning_rate", report.lr},
                              {"train/firing_rate", report.firing_rate},
                              {"train/tokens_per_second", tokens_per_second}});
}

void MetricsLog::write(std::int64_t step, const EvaluationResult& result, double seconds) {
  Json json;
  json["step"] = step;
  json["valid_loss"] = result.loss;
  json["valid_bits"] = result.bits();
  json["valid_firing_rate"] = result.firing_rate;
  json["valid_tokens"] = result.tokens;
  json["seconds"] = seconds;
  write_line(json.dump());
  events_.write(step, {{"valid/loss", result.loss}, {"valid/bits", result.bits()}, {"valid/firing_rate", result.firing_rate}});
}

void MetricsLog::write(std::int64_t step, const std::string& note, double seconds) {
  Json json;
  json["step"] = step;
  json["note"] = note;
  json["seconds"] = seconds;
  write_line(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void MetricsLog::write_line(const std::string& line) {
  file_ << line << '\n' << std::flush;
  if (!file_) throw Error(ErrorKind::kIo, "cannot write {}: is the disk full?", path_.string());
}

}  // namespace spikegpt
