// What a training run left in its folder: metrics.jsonl, train.json, checkpoints (docs/formats.md). Reads whatever is
// there, also of a run that is under way, was killed, or has damaged lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "spikegpt/core/json_fields.h"

namespace spikegpt {

// Figures that a line lacks are NaN.
struct StepLine {
  double step = 0.0;
  double bits = 0.0;
  double gradient_norm = 0.0;
  double lr = 0.0;
  double firing_rate = 0.0;
  double tokens = 0.0;  // of the step
  double tokens_per_second = 0.0;
  double seconds = 0.0;
};

struct EvaluationLine {
  double step = 0.0;
  double bits = 0.0;
  double firing_rate = 0.0;
  double seconds = 0.0;
  std::vector<std::pair<std::string, double>> site_rates;
};

// A note or a sample.
struct TextLine {
  double step = 0.0;
  std::string text;
};

struct SessionLine {
  double step = 0.0;  // at which it began
  std::string host;
  std::string simd;
  std::string precision;
  double threads = 0.0;
  std::int64_t unix_time = 0;
};

struct CheckpointFile {
  std::string name;
  std::uintmax_t bytes = 0;
};

struct RunLog {
  std::string name;  // of the folder
  std::vector<StepLine> steps;
  std::vector<EvaluationLine> evaluations;
  std::vector<TextLine> samples;
  std::vector<TextLine> notes;
  std::vector<SessionLine> sessions;
  std::vector<CheckpointFile> checkpoints;  // oldest first; also the best model
  std::vector<std::string> faults;          // what could not be read, for people
  Json settings = Json::object();           // train.json: {run, model, train}; empty when it cannot be read

  // NaN when there is none.
  double last_step() const;
  double seconds() const;
  // The evaluation with the lowest loss, or null.
  const EvaluationLine* best() const;
  // A field of settings as text; "-" when missing.
  std::string setting(const char* part, const char* key) const;
};

// Throws Error: kNotFound for what is no folder, or one without metrics.jsonl and train.json; kIo.
RunLog read_run(const std::filesystem::path& folder);

}  // namespace spikegpt
