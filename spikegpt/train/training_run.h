// A whole training run in a folder: steps, evaluations, metrics, checkpoints, and going on after a stop.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include "spikegpt/data/text_corpus.h"
#include "spikegpt/train/evaluation.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt {

struct RunProgress {
  double fraction = 0.0;           // of the run, 0 to 1
  double seconds = 0.0;            // of training so far, over all sessions
  double seconds_left = 0.0;       // expected
  double tokens_per_second = 0.0;  // recent
};

// Watches a run. Called between steps, on the thread of the run.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void on_step(const StepReport&, const RunProgress&) {}
  // `parameters` are those evaluated, laid out by ParameterLayout(config).
  virtual void on_evaluation(std::int64_t /*step*/, const EvaluationResult&, const float* /*parameters*/) {}
  virtual void on_checkpoint(const std::filesystem::path&) {}
};

struct RunOutcome {
  EvaluationResult first;  // before the first step; no tokens when resumed
  EvaluationResult last;
  std::int64_t steps = 0;
  double seconds = 0.0;
  bool finished = false;  // false: stopped by request, to be resumed
};

struct RunSetup {
  std::filesystem::path folder;
  ModelConfig model;
  TrainConfig train;
  TextCorpus corpus;
};

class TrainingRun {
 public:
  // A new run in a folder without one, or with `resume` from the newest checkpoint of the folder (from the start
  // when the run ended before its first). Throws Error; nothing in the folder has changed then.
  TrainingRun(RunSetup setup, bool resume);
  ~TrainingRun();

  // Trains until the end or until `stop` becomes true; saves either way. Throws Error; what was saved before stays.
  RunOutcome run(const std::atomic<bool>& stop, TrainingObserver& observer);

  Trainer& trainer() noexcept { return *trainer_; }

 private:
  class Clock;
  EvaluationResult evaluate(TrainingObserver& observer);
  void save(TrainingObserver& observer);
  bool finished() const;
  double fraction() const;
  void step(TrainingObserver& observer);

  RunSetup setup_;
  std::unique_ptr<WindowSource> windows_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<class MetricsLog> metrics_;
  std::int64_t saved_step_ = -1;
};

}  // namespace spikegpt
