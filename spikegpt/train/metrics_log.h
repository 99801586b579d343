// metrics.jsonl: one JSON object a line, for steps and for evaluations. The same curves beside it for TensorBoard.
#pragma once

#include <filesystem>
#include <fstream>

#include "spikegpt/train/evaluation.h"
#include "spikegpt/train/event_log.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt {

class MetricsLog {
 public:
  // Starts a new file, or goes on with an old one from which lines after `last_step` are removed. Throws Error (kIo).
  MetricsLog(const std::filesystem::path& path, std::int64_t last_step);

  // Each throws Error (kIo).
  void write(const StepReport& report, double seconds, double tokens_per_second);
  void write(std::int64_t step, const EvaluationResult& result, double seconds);
  void write(std::int64_t step, const std::string& note, double seconds);

 private:
  void write_line(const std::string& line);

  std::filesystem::path path_;
  std::ofstream file_;
  EventLog events_;
};

}  // namespace spikegpt
