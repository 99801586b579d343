#include "spikegpt/cli/train_estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "spikegpt/cli/progress.h"
#include "spikegpt/core/random.h"
#include "spikegpt/data/token_stream.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt::cli {
namespace {

constexpr int kTimedSteps = 3;
constexpr double kEnoughSeconds = 10.0;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int ranks_of(const Communicator* job) { return job == nullptr ? 1 : job->size(); }

// What a run takes beside its trainer: the program, the libraries' own buffers, tokens in memory, the packed copy of
// the weights that writes samples.
double memory_beside(const RunSetup& setup) {
  constexpr double kProgram = 40e6;
  const double token = setup.model.vocab_size <= 65536 ? 2.0 : 4.0;
  double tokens = static_cast<double>(setup.corpus.train->size());
  if (setup.corpus.valid) tokens += static_cast<double>(setup.corpus.valid->size());
  const auto parameters = static_cast<double>(ParameterLayout(setup.model).parameter_count());
  return kProgram + token * tokens + (setup.train.sample_tokens > 0 ? 4.0 * parameters : 0.0);
}

// Multiplications of a step, but for a factor: a matrix's for every token.
double work_of(const RunSetup& setup, double tokens) {
  const auto parameters = static_cast<double>(ParameterLayout(setup.model).parameter_count());
  return tokens * (parameters - static_cast<double>(setup.model.vocab_size) * setup.model.n_embd);
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

RunSetup timed_run(const RunSetup& setup, const Communicator* job) {
  constexpr std::size_t kSmall = std::size_t{64} << 20;  // bytes
  RunSetup timed = {setup.folder, setup.model, setup.train, {}, {}, {}};
  ModelConfig& model = timed.model;
  if (Trainer::memory_needed(setup.model, setup.train, ranks_of(job)) > kSmall) {
    model.n_layer = 1;
    model.n_embd = std::min(model.n_embd, 512);
    model.vocab_size = std::min(model.vocab_size, 1024);
    model.ctx_len = std::min(model.ctx_len, 256);
    timed.train.batch_size = std::clamp(512 / model.ctx_len, 1, setup.train.batch_size);
    timed.train.accumulate = ranks_of(job);
    timed.train.freeze.clear();
  }
  timed.train.windows = "random";
  std::vector<TokenId> tokens(static_cast<std::size_t>(4 * model.ctx_len + 2));
  RandomStream random(1, RandomPurpose::kBatch, 0);
  for (TokenId& token : tokens) {
    token = static_cast<TokenId>(random.next_below(static_cast<std::uint64_t>(model.vocab_size)));
  }
  timed.corpus = {setup.corpus.tokenizer, make_token_stream(tokens, model.vocab_size), nullptr, {}, {}, {}};
  timed.corpus.sources = {{timed.corpus.train, 1.0}};
  return timed;
}

void print_estimate(const RunSetup& setup, const RunSetup& timed, Communicator* job) {
  const TrainConfig& train = setup.train;
  make_windows(setup);  // refuses data that are too short for them
  const auto windows = make_windows(timed);
  Trainer trainer(timed.model, timed.train, *windows, job);
  trainer.initialise_parameters();
  const double timed_seconds = seconds_per_step(trainer, train.lr_final);
  trainer.dismiss(0);
  const double step_seconds =
      timed_seconds * work_of(setup, tokens_per_step(setup)) / work_of(timed, tokens_per_step(timed));
  const double tokens = tokens_per_step(setup);
  const double steps = train.minutes > 0.0 ? 60.0 * train.minutes / step_seconds : static_cast<double>(train.steps);
  const double evaluation = train.minutes > 0.0 ? 0.0 : evaluation_seconds(setup, step_seconds, steps);
  const auto parameters = static_cast<double>(ParameterLayout(setup.model).parameter_count());
  const double vectors = train.ema_decay > 0.0 ? 4.0 : 3.0;
  const double model = 4.0 * parameters;
  fmt::print("{} {} x {}: {} parameters, vocabulary of {}\n", setup.model.arch, setup.model.n_layer, setup.model.n_embd,
             quantity(parameters), setup.model.vocab_size);
  const auto memory = static_cast<double>(Trainer::memory_needed(setup.model, train, ranks_of(job)));
  fmt::print("memory   {:>9.0f} MB at the peak ({:.0f} MB of it weights, gradients and activations)\n",
             (memory + memory_beside(setup)) / 1e6, memory / 1e6);
  fmt::print("disk     {:>9.0f} MB: {} checkpoints of {:.0f} MB and one being written, the model{}\n",
             ((train.keep + 1) * vectors + (train.keep_best ? 2 : 1)) * model / 1e6, train.keep, vectors * model / 1e6,
             train.keep_best ? " and the best one" : "");
  fmt::print("speed    {:>9} tokens/s, {:.2f} s a step of {:.0f} tokens{}\n", quantity(tokens / step_seconds),
             step_seconds, tokens, timed.model == setup.model ? "" : ": about, timed on a smaller model");
  fmt::print("time     {:>9} for {:.0f} steps: {} tokens, {:.2f} times the text{}\n",
             duration(steps * step_seconds + evaluation), steps, quantity(steps * tokens),
             steps * tokens / static_cast<double>(setup.corpus.train->size()),
             evaluation > 1.0 ? fmt::format(" ({} of it evaluations)", duration(evaluation)) : "");
  fmt::print("nothing was written\n");
}

}  // namespace spikegpt::cli
