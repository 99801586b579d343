#include "spikegpt/train/training_run.h"

#include <algorithm>
#include <chrono>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/data/consecutive_windows.h"
#include "spikegpt/data/window_sampler.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/divergence_guard.h"
#include "spikegpt/train/metrics_log.h"
#include "spikegpt/train/schedule.h"
#include "spikegpt/train/start_from.h"

namespace spikegpt {

// Time of training over all sessions, and the recent rate.
class TrainingRun::Clock {
 public:
  explicit Clock(double seconds_before) : before_(seconds_before) {}

  double seconds() const { return before_ + std::chrono::duration<double>(Time::now() - start_).count(); }
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

// Half-written files of a process that was killed while it saved.
void remove_leftovers(const std::filesystem::path& folder) {
  for (const auto& place : {folder, folder / "checkpoints", folder / "best"}) {
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(place, failure)) {
      if (entry.path().extension() == ".tmp") std::filesystem::remove(entry.path(), failure);
    }
  }
}

}  // namespace

std::unique_ptr<WindowSource> make_windows(const RunSetup& setup) {
  const TrainConfig& train = setup.train;
  if (train.windows == "consecutive") {
    return std::make_unique<ConsecutiveWindows>(setup.corpus.train, setup.model.ctx_len,
                                                std::int64_t{train.batch_size} * train.accumulate);
  }
  return std::make_unique<WindowSampler>(setup.corpus.sources, setup.model.ctx_len, train.seed);
}

TrainingRun::TrainingRun(RunSetup setup, bool resume, Communicator* communicator) : setup_(std::move(setup)) {
  validate(setup_.model);
  validate(setup_.train);
  windows_ = make_windows(setup_);
  trainer_ = std::make_unique<Trainer>(setup_.model, setup_.train, *windows_, communicator);
  const bool had_folder = std::filesystem::exists(setup_.folder);
  make_folder(setup_.folder);
  try {
    lock_ = std::make_unique<FolderLock>(setup_.folder);
    remove_leftovers(setup_.folder);
    if (resume) {
      this->resume();
    } else {
      start();
    }
    metrics_ = std::make_unique<MetricsLog>(setup_.folder / "metrics.jsonl", trainer_->steps_done());
  } catch (...) {
    lock_.reset();
    std::error_code ignored;
    if (!had_folder) std::filesystem::remove(setup_.folder, ignored);  // does so only when it is empty
    throw;
  }
  clock_ = std::make_unique<Clock>(state_.seconds);
}

void TrainingRun::start() {
  trainer_->initialise_parameters();
  if (!setup_.from.empty()) {
    note(start_from(setup_.from, *setup_.corpus.tokenizer, setup_.train.reinit, *trainer_));
  }
  state_ = RunState();
  state_.train_tokens = setup_.corpus.train->size();
}

// From the newest checkpoint that is whole. One that is damaged is set aside, not removed.
void TrainingRun::resume() {
  for (const auto& path : find_checkpoints(setup_.folder)) {
    std::optional<WeightFile> file;
    try {
      file = open_checkpoint(path);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruptFile) throw;
      set_aside(path, error.what());
      continue;
    }
    state_ = load_checkpoint(*file, *trainer_);
    saved_step_ = trainer_->steps_done();
    const std::int64_t tokens = setup_.corpus.train->size();
    if (state_.train_tokens != 0 && state_.train_tokens != tokens) {
      note(fmt::format("the text to learn from has {} tokens now; it had {} before step {}", tokens,
                       state_.train_tokens, saved_step_));
    }
    state_.train_tokens = tokens;
    return;
  }
  // A run that ended before its first checkpoint goes on from its start; a model without one is not touched.
  if (std::filesystem::exists(setup_.folder / "model.safetensors")) {
    throw Error(ErrorKind::kNotFound,
                "{} has a model but no checkpoint to resume from: expected {}/checkpoints/step-*.safetensors{}",
                setup_.folder.string(), setup_.folder.string(),
                notes_.empty() ? "" : fmt::format(" ({})", fmt::join(notes_, "; ")));
  }
  start();
}

void TrainingRun::set_aside(const std::filesystem::path& checkpoint, const std::string& why) {
  std::filesystem::path aside = checkpoint;
  aside += ".damaged";
  std::error_code failure;
  std::filesystem::rename(checkpoint, aside, failure);
  if (failure) {
    throw Error(ErrorKind::kIo, "cannot rename {}, which is damaged: {}", checkpoint.string(), failure.message());
  }
  note(fmt::format("{}; renamed to {}, going on from the one before", why, aside.filename().string()));
}

void TrainingRun::note(std::string text) { notes_.push_back(std::move(text)); }

void TrainingRun::tell_notes(TrainingObserver& observer) {
  for (const std::string& text : notes_) {
    metrics_->write_note(trainer_->steps_done(), text, clock_->seconds());
    observer.on_note(text);
  }
  notes_.clear();
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
  trainer_->with_model_parameters([&] {
    try {
      result = evaluate_windows(setup_.model, trainer_->network(), setup_.corpus.valid, options);
    } catch (const Error& error) {
      throw Error(error.kind(), "after step {}: {}; the first value that is none came out of {}",
                  trainer_->steps_done(), error.what(), trainer_->network().first_non_finite());
    }
  });
  const std::int64_t step = trainer_->steps_done();
  metrics_->write(step, result, spike_sites(setup_.model), clock_->seconds());
  keep_if_best(result);
  observer.on_evaluation(step, result, trainer_->model_parameters());
  const std::string text = observer.sample(step, trainer_->model_parameters());
  if (!text.empty()) metrics_->write_sample(step, text, clock_->seconds());
  return result;
}

void TrainingRun::keep_if_best(const EvaluationResult& result) {
  if (!setup_.train.keep_best || trainer_->steps_done() == 0) return;
  lock_->check_folder();
  const bool has_best = std::filesystem::exists(setup_.folder / "best/model.safetensors");
  if (state_.best_loss && !has_best) note("best/ has gone; the best of what follows is kept");
  if (state_.best_loss && has_best && result.loss >= *state_.best_loss) return;
  state_.best_loss = result.loss;
  save_as_model(setup_.folder / "best");
  setup_.corpus.tokenizer->save(setup_.folder / "best");
}

void TrainingRun::save_as_model(const std::filesystem::path& folder) {
  save_model(folder, setup_.model, trainer_->model_parameters());
}

// Not when somebody has deleted what was saved.
bool TrainingRun::is_saved() const {
  if (saved_step_ != trainer_->steps_done()) return false;
  const std::filesystem::path files[] = {checkpoint_, setup_.folder / "model.safetensors",
                                         setup_.folder / "config.json"};
  return std::all_of(std::begin(files), std::end(files), [](const std::filesystem::path& file) {
    std::error_code unreadable;
    return file.empty() || std::filesystem::exists(file, unreadable);
  });
}

void TrainingRun::save(TrainingObserver& observer) {
  lock_->check_folder();
  if (setup_.describe) setup_.describe();
  if (is_saved()) return;
  state_.seconds = clock_->seconds();
  state_.skipped_steps = trainer_->skipped_steps();
  state_.found_weight = trainer_->found_weight();
  checkpoint_ = save_checkpoint(setup_.folder, *trainer_, state_, setup_.train.keep);
  save_as_model(setup_.folder);
  lock_->check_folder();
  saved_step_ = trainer_->steps_done();
  observer.on_checkpoint(checkpoint_);
}

void TrainingRun::step(TrainingObserver& observer) {
  lock_->check_folder();
  const double before = clock_->seconds();
  const StepReport report =
      trainer_->step(state_.lr_scale * learning_rate(setup_.train, trainer_->steps_done(), fraction()));
  RunProgress progress;
  progress.seconds = clock_->seconds();
  clock_->count(report.tokens, progress.seconds - before);
  progress.tokens_per_second = clock_->tokens_per_second();
  progress.fraction = fraction();
  progress.seconds_left =
      progress.fraction > 0.0 ? progress.seconds * (1.0 - progress.fraction) / progress.fraction : 0.0;
  if (report.step % setup_.train.log_every == 0) {
    metrics_->write(report, progress.seconds, progress.tokens_per_second);
  }
  observer.on_step(report, progress);
  DivergenceGuard(setup_.train.loss_spike).observe(report.step, report.loss, state_);
}

// To the last checkpoint, or the start, and on with other batches at half the learning rate.
void TrainingRun::roll_back(const Error& cause) {
  const std::int64_t retries = state_.retries + 1;
  if (retries > setup_.train.retries) {
    if (setup_.train.retries == 0) throw cause;
    throw Error(cause.kind(), "{} (after {} retries)", cause.what(), setup_.train.retries);
  }
  const std::int64_t failed_step = trainer_->steps_done();
  const double lr_scale = 0.5 * state_.lr_scale;
  const std::int64_t skipped = trainer_->skipped_steps();
  if (saved_step_ >= 0) {
    resume();
  } else {
    start();
  }
  const std::int64_t step = trainer_->steps_done();
  trainer_->set_skipped_steps(skipped);
  trainer_->skip_steps(failed_step + 1 - step);
  state_.retries = retries;
  state_.lr_scale = lr_scale;
  metrics_ = std::make_unique<MetricsLog>(setup_.folder / "metrics.jsonl", step);
  note(fmt::format("{}; back to step {}, leaving out the batches since, learning rate x {} (retry {} of {})",
                   cause.what(), step, lr_scale, retries, setup_.train.retries));
}

RunOutcome TrainingRun::run(const std::atomic<bool>& stop, TrainingObserver& observer) {
  try {
    return train(stop, observer);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kIo || error.kind() == ErrorKind::kNotFound) lock_->check_folder();
    throw;
  }
}

RunOutcome TrainingRun::train(const std::atomic<bool>& stop, TrainingObserver& observer) {
  const TrainConfig& train = setup_.train;
  RunOutcome outcome;
  const SessionRecord session = this_session(name_of(gemm_precision(train.precision)));
  if (const auto& last = metrics_->last_session(); last && !compute_the_same(*last, session)) {
    note(fmt::format("computes in {} on {} now, in {} on {} before: what follows is close to what the machine before "
                     "would have done, not the same to the bit",
                     session.precision, session.simd, last->precision, last->simd));
  }
  metrics_->begin_session(trainer_->steps_done(), session, clock_->seconds());
  tell_notes(observer);
  std::int64_t evaluated = trainer_->steps_done();
  if (evaluated == 0) outcome.first = outcome.last = evaluate(observer);
  while (!finished() && !stop) {
    try {
      step(observer);
      const std::int64_t done = trainer_->steps_done();
      if (finished() || (train.eval_every > 0 && done % train.eval_every == 0)) {
        outcome.last = evaluate(observer);
        evaluated = done;
      }
      if (train.save_every > 0 && done % train.save_every == 0) save(observer);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDiverged) throw;
      roll_back(error);
      tell_notes(observer);
    }
  }
  outcome.finished = finished();
  // By the clock a run may end between two steps.
  if (outcome.finished && evaluated != trainer_->steps_done()) outcome.last = evaluate(observer);
  save(observer);
  outcome.steps = trainer_->steps_done();
  outcome.seconds = clock_->seconds();
  return outcome;
}

}  // namespace spikegpt
