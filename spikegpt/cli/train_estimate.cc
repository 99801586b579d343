#include "spikegpt/cli/train_estimate.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "spikegpt/cli/progress.h"

namespace spikegpt::cli {
namespace {

constexpr int kTimedSteps = 3;
constexpr double kEnoughSeconds = 10.0;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_memory_in_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

// The fastest of a few steps after one that warms up.
double seconds_per_step(Trainer& trainer, double lr) {
  double fastest = 0.0;
  double spent = 0.0;
  for (int i = 0; i <= kTimedSteps && spent < kEnoughSeconds; ++i) {
    const double seconds = seconds_of([&] { trainer.step(lr); });
    spent += seconds;
    fastest = i <= 1 ? seconds : std::min(fastest, seconds);
  }
  return fastest;
}

double tokens_per_step(const RunSetup& setup) {
  return static_cast<double>(setup.train.batch_size) * setup.train.accumulate * setup.model.ctx_len;
}

// Of all evaluations: a forward pass is about a third of a step.
double evaluation_seconds(const RunSetup& setup, double step_seconds, double steps) {
  const TrainConfig& train = setup.train;
  if (!setup.corpus.valid) return 0.0;
  const auto held_out = static_cast<double>(setup.corpus.valid->size());
  const double tokens = train.eval_tokens > 0 ? std::min(held_out, static_cast<double>(train.eval_tokens)) : held_out;
  const double evaluations = 2.0 + (train.eval_every > 0 ? steps / static_cast<double>(train.eval_every) : 0.0);
  return evaluations * tokens / tokens_per_step(setup) * step_seconds / 3.0;
}

}  // namespace

void print_estimate(const RunSetup& setup, Communicator* job) {
  const TrainConfig& train = setup.train;
  const auto windows = make_windows(setup);
  Trainer trainer(setup.model, train, *windows, job);
  trainer.initialise_parameters();
  const double step_seconds = seconds_per_step(trainer, train.lr_final);
  trainer.dismiss(0);
  const double tokens = tokens_per_step(setup);
  const double steps = train.minutes > 0.0 ? 60.0 * train.minutes / step_seconds : static_cast<double>(train.steps);
  const double evaluation = train.minutes > 0.0 ? 0.0 : evaluation_seconds(setup, step_seconds, steps);
  const auto parameters = static_cast<double>(trainer.layout().parameter_count());
  const double vectors = train.ema_decay > 0.0 ? 4.0 : 3.0;
  const double model = 4.0 * parameters;
  fmt::print("{} {} x {}: {} parameters, vocabulary of {}\n", setup.model.arch, setup.model.n_layer, setup.model.n_embd,
             quantity(parameters), setup.model.vocab_size);
  fmt::print("memory   {:>9.0f} MB at the peak ({:.0f} MB of it weights, gradients and activations)\n",
             peak_memory_in_bytes() / 1e6, static_cast<double>(trainer.memory_in_bytes()) / 1e6);
  fmt::print("disk     {:>9.0f} MB: {} checkpoints of {:.0f} MB and one being written, the model{}\n",
             ((train.keep + 1) * vectors + (train.keep_best ? 2 : 1)) * model / 1e6, train.keep, vectors * model / 1e6,
             train.keep_best ? " and the best one" : "");
  fmt::print("speed    {:>9} tokens/s, {:.2f} s a step of {:.0f} tokens\n", quantity(tokens / step_seconds),
             step_seconds, tokens);
  fmt::print("time     {:>9} for {:.0f} steps: {} tokens, {:.2f} times the text{}\n",
             duration(steps * step_seconds + evaluation), steps, quantity(steps * tokens),
             steps * tokens / static_cast<double>(setup.corpus.train->size()),
             evaluation > 1.0 ? fmt::format(" ({} of it evaluations)", duration(evaluation)) : "");
  fmt::print("nothing was written\n");
}

}  // namespace spikegpt::cli
