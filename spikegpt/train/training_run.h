// A whole training run in a folder: steps, evaluations, metrics, checkpoints, and going on after a stop, a crash or a
// loss that ran away.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "spikegpt/core/error.h"
#include "spikegpt/core/folder_lock.h"
#include "spikegpt/data/text_corpus.h"
#include "spikegpt/train/checkpoint.h"
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
  // What the model writes after an evaluation, for metrics.jsonl; empty = nothing.
  virtual std::string sample(std::int64_t /*step*/, const float* /*parameters*/) { return {}; }
  virtual void on_checkpoint(const std::filesystem::path&) {}
  // Something the user should know of that did not stop the run; also in metrics.jsonl.
  virtual void on_note(const std::string&) {}
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
  std::filesystem::path from;  // folder of the model to start from; empty = fresh weights
  // Writes what else a folder of a run holds, its settings say; called with every save. May be empty.
  std::function<void()> describe;
};

// The batches of a run. The corpus must outlive them.
std::unique_ptr<WindowSource> make_windows(const RunSetup& setup);

class TrainingRun {
 public:
  // A new run in a folder without one, or with `resume` from the newest checkpoint of the folder that is whole (from
  // the start when the run ended before its first). No other process may train there. Throws Error; nothing in the
  // folder has changed then. With several ranks: on rank 0, while the others' trainers follow().
  TrainingRun(RunSetup setup, bool resume, Communicator* communicator = nullptr);
  ~TrainingRun();

  // Trains until the end or until `stop` becomes true; saves either way. Throws Error; what was saved before
  // stays. When the folder has gone meanwhile, that is what the Error says; single files that somebody
  // deleted are written again.
  RunOutcome run(const std::atomic<bool>& stop, TrainingObserver& observer);

  Trainer& trainer() noexcept { return *trainer_; }

 private:
  class Clock;
  void start();
  void resume();
  void set_aside(const std::filesystem::path& checkpoint, const std::string& why);
  void note(std::string text);
  void tell_notes(TrainingObserver& observer);
  EvaluationResult evaluate(TrainingObserver& observer);
  void keep_if_best(const EvaluationResult& result);
  void save(TrainingObserver& observer);
  void save_as_model(const std::filesystem::path& folder);
  bool is_saved() const;
  bool finished() const;
  double fraction() const;
  RunOutcome train(const std::atomic<bool>& stop, TrainingObserver& observer);
  void step(TrainingObserver& observer);
  void roll_back(const Error& cause);

  RunSetup setup_;
  std::unique_ptr<WindowSource> windows_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<FolderLock> lock_;
  RunState state_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<class MetricsLog> metrics_;
  std::vector<std::string> notes_;  // not told yet
  std::int64_t saved_step_ = -1;
  std::filesystem::path checkpoint_;  // of that step, when this process wrote it
};

}  // namespace spikegpt
