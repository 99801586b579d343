#include "spikegpt/train/training_run.h"

#include <algorithm>
#include <chrono>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/data/consecutive_windows.h"
#include "spikegpt/data/window_sampler.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/checkpoint.h"
#include "spikegpt/train/metrics_log.h"
#include "spikegpt/train/schedule.h"

namespace spikegpt {

// Time of training over all sessions, and the recent rate.
class TrainingRun::Clock {
 public:
  explicit Clock(double seconds_before) : before_(seconds_before) {}

  double seconds() const {
    return before_ + std::chrono::duration<double>(Time::now() - start_).count();
  }
  // After a step of so many tokens: a moving average over about 20 steps.
  void count(std::int64_t tokens, double step_seconds) {
    const double rate = static_cast<double>(tokens) / step_seconds;
    rate_ = rate_ == 0.0 ? rate : 0.95 * rate_ + 0.05 * rate;
  }
  double tokens_per_second() const { return rate_; }

 private:
  using Time = std::chrono::steady_clock;
  double before_;
  Time::time_point start_ = Time::now();
  double rate_ = 0.0;
};

namespace {

std::unique_ptr<WindowSource> make_windows(const RunSetup& setup) {
  const TrainConfig& train = setup.train;
  if (train.windows == "consecutive") {
    return std::make_unique<ConsecutiveWindows>(setup.corpus.train, setup.model.ctx_len,
                                                std::int64_t{train.batch_size} * train.accumulate);
  }
  return std::make_unique<WindowSampler>(setup.corpus.sources, setup.model.ctx_len, train.seed);
}

}  // namespace

TrainingRun::TrainingRun(RunSetup setup, bool resume) : setup_(std::move(setup)) {
  validate(setup_.model);
  validate(setup_.train);
  windows_ = make_windows(setup_);
  trainer_ = std::make_unique<Trainer>(setup_.model, setup_.train, *windows_);
  CheckpointInfo info;
  const auto newest = resume ? newest_checkpoint(setup_.folder) : std::nullopt;
  if (newest) {
    info = load_checkpoint(*newest, *trainer_);
    saved_step_ = info.step;
  } else {
    // A run that ended before its first checkpoint goes on from its start; a model without one is not touched.
    if (resume && std::filesystem::exists(setup_.folder / "model.safetensors")) {
      throw Error(ErrorKind::kNotFound,
                  "{} has a model but no checkpoint to resume from: expected {}/checkpoints/step-*.safetensors",
                  setup_.folder.string(), setup_.folder.string());
    }
    trainer_->initialise_parameters();
  }
  make_folder(setup_.folder);
  metrics_ = std::make_unique<MetricsLog>(setup_.folder / "metrics.jsonl", info.step);
  clock_ = std::make_unique<Clock>(info.seconds);
}

TrainingRun::~TrainingRun() = default;

double TrainingRun::fraction() const {
  const TrainConfig& train = setup_.train;
  if (train.minutes > 0.0) return std::min(1.0, clock_->seconds() / (60.0 * train.minutes));
  return std::min(1.0, static_cast<double>(trainer_->steps_done()) / static_cast<double>(train.steps));
}

bool TrainingRun::finished() const { return fraction() >= 1.0; }

EvaluationResult TrainingRun::evaluate(TrainingObserver& observer) {
  EvaluationResult result;
  if (!setup_.corpus.valid) return result;
  EvaluationOptions options;
  options.ctx_len = setup_.model.ctx_len;
  options.batch = setup_.train.batch_size;
  options.max_tokens = setup_.train.eval_tokens;
  try {
    result = evaluate_windows(setup_.model, trainer_->network(), setup_.corpus.valid, options);
  } catch (const Error& error) {
    throw Error(error.kind(), "after step {}: {}; the first value that is none came out of {}",
                trainer_->steps_done(), error.what(), trainer_->network().first_non_finite());
  }
  metrics_->write(trainer_->steps_done(), result, clock_->seconds());
  observer.on_evaluation(trainer_->steps_done(), result, trainer_->parameters().data());
  return result;
}

void TrainingRun::save(TrainingObserver& observer) {
  if (saved_step_ == trainer_->steps_done()) return;
  const auto path =
      save_checkpoint(setup_.folder, *trainer_, clock_->seconds(), setup_.train.keep);
  save_model(setup_.folder, setup_.model, trainer_->parameters().data());
  saved_step_ = trainer_->steps_done();
  observer.on_checkpoint(path);
}

void TrainingRun::step(TrainingObserver& observer) {
  const double before = clock_->seconds();
  const StepReport report = trainer_->step(
      learning_rate(setup_.train, trainer_->steps_done(), fraction()));
  RunProgress progress;
  progress.seconds = clock_->seconds();
  clock_->count(report.tokens, progress.seconds - before);
  progress.tokens_per_second = clock_->tokens_per_second();
  progress.fraction = fraction();
  progress.seconds_left = progress.fraction > 0.0
                              ? progress.seconds * (1.0 - progress.fraction) / progress.fraction
                              : 0.0;
  if (report.step % setup_.train.log_every == 0) {
    metrics_->write(report, progress.seconds, progress.tokens_per_second);
  }
  observer.on_step(report, progress);
}

RunOutcome TrainingRun::run(const std::atomic<bool>& stop, TrainingObserver& observer) {
  const TrainConfig& train = setup_.train;
  RunOutcome outcome;
  std::int64_t evaluated = trainer_->steps_done();
  if (evaluated == 0) outcome.first = outcome.last = evaluate(observer);
  while (!finished() && !stop) {
    step(observer);
    const std::int64_t done = trainer_->steps_done();
    if (train.eval_every > 0 && done % train.eval_every == 0) {
      outcome.last = evaluate(observer);
      evaluated = done;
    }
    if (train.save_every > 0 && done % train.save_every == 0) save(observer);
  }
  outcome.finished = finished();
  save(observer);
  if (outcome.finished && evaluated != trainer_->steps_done()) outcome.last = evaluate(observer);
  outcome.steps = trainer_->steps_done();
  outcome.seconds = clock_->seconds();
  return outcome;
}

}  // namespace spikegpt
