#include "spikegpt/cli/train_display.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/infer/writer.h"

namespace spikegpt::cli {
namespace {

// Where products read spikes, the share of their operations that is left.
std::string firing(const Densities& activity) {
  std::string text;
  if (activity.firing_rate > 0.0) text += fmt::format("  fire {:.1f}%", 100.0 * activity.firing_rate);
  if (activity.synops > 0.0) text += fmt::format("  synops {:.1f}%", 100.0 * activity.synops);
  return text;
}

}  // namespace

TrainDisplay::TrainDisplay(const ModelConfig& model, const TrainConfig& train, const Tokenizer& tokenizer,
                           std::string sample_prompt)
    : model_(model), train_(train), tokenizer_(tokenizer), sample_prompt_(std::move(sample_prompt)) {}

void TrainDisplay::print_start(const Trainer& trainer, const TextCorpus& corpus) {
  fmt::print("{} {} x {}, {} parameters, vocabulary of {} ({})\n", model_.arch, model_.n_layer, model_.n_embd,
             quantity(static_cast<double>(trainer.layout().parameter_count())), model_.vocab_size, tokenizer_.kind());
  fmt::print("{} {}s to learn from, {} held out; {} x {} per step, {} products, {:.0f} MB\n",
             quantity(static_cast<double>(corpus.train->size())), tokenizer_.unit(),
             quantity(corpus.valid ? static_cast<double>(corpus.valid->size()) : 0.0),
             train_.batch_size * train_.accumulate, model_.ctx_len, name_of(gemm_precision(train_.precision)),
             static_cast<double>(trainer.memory_in_bytes()) / 1e6);
  warn_of_unknown("the text to learn from", corpus.train_unknowns, tokenizer_);
  warn_of_unknown("the held-out text", corpus.valid_unknowns, tokenizer_);
  if (train_.sample_tokens > 0)
    warn_of_unknown("--sample-prompt", tokenizer_.encode(sample_prompt_).unknowns, tokenizer_);
  std::fflush(stdout);
}

void TrainDisplay::on_step(const StepReport& report, const RunProgress& progress) {
  const std::string figures =
      fmt::format("{} left  step {}  loss {:.3f}  {:.3f} bits  |g| {:.2f}{}  {} tok/s", duration(progress.seconds_left),
                  report.step, report.loss, report.bits(), report.gradient_norm, firing(report.activity),
                  quantity(progress.tokens_per_second));
  if (!status_.is_terminal()) {
    return status_.update(fmt::format("{:3.0f}%  {}", 100.0 * progress.fraction, figures));
  }
  // The bar takes what the figures leave.
  const int room = StatusLine::width() - static_cast<int>(figures.size()) - 11;
  status_.update(fmt::format("{}  {}", bar(progress.fraction, std::clamp(room, 4, 24)), figures));
}

void TrainDisplay::on_evaluation(std::int64_t step, const EvaluationResult& result, const float* /*parameters*/) {
  status_.clear();
  fmt::print("step {:>6}  held-out {:.4f} bits/{}  perplexity {:.2f}{}\n", step, result.bits(), tokenizer_.unit(),
             result.perplexity(), firing(result.activity));
  std::fflush(stdout);
}

std::string TrainDisplay::sample(std::int64_t step, const float* parameters) {
  if (step == 0 || train_.sample_tokens == 0) return {};
  const PackedModel packed(model_, parameters, default_pack_options(model_, WeightType::kF32));
  Session session(packed);
  WritingOptions options;
  options.sampler.seed = train_.seed;
  TextWriter writer(session, tokenizer_, options);
  std::string text = sample_prompt_;
  const std::atomic<bool> never = false;  // a prompt this short
  const auto add = [&](const std::string& piece) { text += piece; };
  writer.give(sample_prompt_, never, add);
  writer.write(train_.sample_tokens, stop_requested(), add);
  writer.finish(add);
  std::string indented = "  | ";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') continue;
    indented += c;
    if (c == '\n') indented += "  | ";
  }
  fmt::print("{}\n", indented);
  std::fflush(stdout);
  return text;
}

void TrainDisplay::on_checkpoint(const std::filesystem::path& path) {
  if (status_.is_terminal()) return;
  fmt::print("saved {}\n", path.string());
  std::fflush(stdout);
}

void TrainDisplay::on_note(const std::string& text) {
  status_.clear();
  fmt::print("note: {}\n", text);
  std::fflush(stdout);
}

void TrainDisplay::print_end(const RunOutcome& outcome, const std::filesystem::path& folder) {
  status_.clear();
  if (!outcome.finished) {
    fmt::print("\nstopped after step {}; go on with: spikegpt train --out {} --resume\n", outcome.steps,
               folder.string());
    return;
  }
  const auto& unit = tokenizer_.unit();
  fmt::print("\n{} steps in {}\n", outcome.steps, duration(outcome.seconds));
  if (outcome.last.tokens > 0) {
    if (outcome.first.tokens > 0) {
      fmt::print("held-out bits per {}: {:.4f} before, {:.4f} after\n", unit, outcome.first.bits(),
                 outcome.last.bits());
    } else {
      fmt::print("held-out bits per {}: {:.4f}\n", unit, outcome.last.bits());
    }
    const Densities& activity = outcome.last.activity;
    if (activity.firing_rate > 0.0) {
      fmt::print("mean firing rate: {:.1f} events per 100 neurons and {}\n", 100.0 * activity.firing_rate, unit);
    }
    if (activity.synops > 0.0) {
      fmt::print("synaptic operations: {:.1f} % of the dense products'; rows of weights fetched: {:.1f} %\n",
                 100.0 * activity.synops, 100.0 * activity.active_rows);
    }
  }
  fmt::print("the model is in {}\n", folder.string());
}

}  // namespace spikegpt::cli
