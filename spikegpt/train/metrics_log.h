// metrics.jsonl: one JSON object a line, for sessions, steps, evaluations, samples and notes (docs/formats.md). The
// same curves beside it for TensorBoard.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/train/evaluation.h"
#include "spikegpt/train/event_log.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt {

// Where and when a process began to train here.
struct SessionRecord {
  std::string host;
  std::string simd;
  std::string precision;  // of the matrix products
  int threads = 0;
  std::int64_t unix_time = 0;  // [s]
};
// Of this process, now.
SessionRecord this_session(std::string_view precision);
// Whether one computes what the other would, to the bit. Threads never matter. In float32 nor does the instruction
// set, but for the baseline, which has no fused multiply-add.
bool compute_the_same(const SessionRecord& a, const SessionRecord& b);

class MetricsLog {
 public:
  // Starts a new file, or goes on with an old one from which lines after `last_step` are removed. Throws Error (kIo).
  MetricsLog(const std::filesystem::path& path, std::int64_t last_step);

  // The last session of the lines that were kept.
  const std::optional<SessionRecord>& last_session() const noexcept { return last_session_; }

  // Written together with the next step, so that a session that makes none leaves nothing behind.
  void begin_session(std::int64_t step, const SessionRecord& session, double seconds);

  // Each throws Error (kIo).
  void write(const StepReport& report, double seconds, double tokens_per_second);
  // `sites` names what result.sites holds.
  void write(std::int64_t step, const EvaluationResult& result, const std::vector<SpikeSite>& sites, double seconds);
  void write_sample(std::int64_t step, const std::string& text, double seconds);
  void write_note(std::int64_t step, const std::string& note, double seconds);

 private:
  // Bytes that are no UTF-8 are replaced.
  void write_line(const Json& json);

  std::optional<SessionRecord> last_session_;
  GrowingFile file_;
  Json session_;  // not written yet; null = none
  EventLog events_;
};

}  // namespace spikegpt
