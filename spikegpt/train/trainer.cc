#include "spikegpt/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "spikegpt/core/error.h"
#include "spikegpt/core/finite.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/model/init.h"
#include "spikegpt/train/calibration.h"

namespace spikegpt {
namespace {

constexpr float kL2Wrap = 1e-4f;  // SPEC.md 6

NetworkOptions network_options(const ModelConfig& model, const TrainConfig& config) {
  NetworkOptions options;
  options.precision = gemm_precision(config.precision);
  options.plan = {config.batch_size, model.ctx_len, true, config.recompute};
  return options;
}

}  // namespace

double StepReport::bits() const { return loss / std::numbers::ln2; }

Trainer::Trainer(const ModelConfig& model, const TrainConfig& config, const WindowSource& windows)
    : model_(model),
      config_(config),
      windows_(windows),
      layout_(model),
      parameters_(static_cast<std::size_t>(layout_.flat_size())),
      gradients_(static_cast<std::size_t>(layout_.flat_size())),
      average_(config.ema_decay > 0.0 ? parameters_.size() : 0),
      optimizer_(layout_, config),
      network_(make_network(model, network_options(model, config))),
      activity_(model),
      tokens_(static_cast<std::size_t>(config.batch_size) * static_cast<std::size_t>(model.ctx_len)),
      targets_(tokens_.size()),
      fresh_(static_cast<std::size_t>(config.batch_size)) {
  if (config.windows != "consecutive") return;
  for (int micro = 0; micro < config.accumulate; ++micro) carried_.emplace_back(model, config.batch_size);
  next_ = RecurrentState(model, config.batch_size);
}

void Trainer::initialise_parameters() {
  initialise(model_, init_kind(config_.init), config_.seed, parameters_.data());
  calibrate();
  start_anew();
}

void Trainer::calibrate() {
  sample(0);
  const std::span<const TokenId> first_window(tokens_.data(), static_cast<std::size_t>(model_.ctx_len));
  calibrate_gains(model_, first_window, parameters_.data());
}

void Trainer::start_anew() {
  std::copy_n(parameters_.data(), average_.size(), average_.data());
  optimizer_.reset();
  for (RecurrentState& memory : carried_) memory.reset();
  parameters_changed();
}

void Trainer::skip_steps(std::int64_t steps) {
  skipped_steps_ += steps;
  for (RecurrentState& memory : carried_) memory.reset();
}

void Trainer::with_model_parameters(const std::function<void()>& use) {
  if (average_.span().empty()) return use();
  network_->set_parameters(average_.data());
  try {
    use();
  } catch (...) {
    parameters_changed();
    throw;
  }
  parameters_changed();
}

void Trainer::sample(std::int64_t micro) {
  windows_.fill(batch_index(), micro * config_.batch_size,
                {config_.batch_size, model_.ctx_len, tokens_, targets_, fresh_});
}

// Sequences that start anew have no memory.
void Trainer::forget_fresh(std::int64_t micro) {
  for (std::int64_t b = 0; b < config_.batch_size; ++b) {
    if (fresh_[static_cast<std::size_t>(b)] != 0) carried_[static_cast<std::size_t>(micro)].reset(b);
  }
}

// Returns the sum of the losses of one micro-batch; adds its share of the gradient.
double Trainer::forward_backward(std::int64_t micro) {
  const auto tokens = static_cast<double>(tokens_.size());
  RunOptions run;
  run.spike_counts = activity_.counts();
  run.dropout.probability = static_cast<float>(model_.dropout);
  run.dropout.seed = config_.seed;
  run.dropout.stream =
      stream_of(RandomPurpose::kDropout,
                static_cast<std::uint64_t>((batch_index() * config_.accumulate + micro) * model_.n_layer));
  RecurrentState* const memory = carried_.empty() ? nullptr : &carried_[static_cast<std::size_t>(micro)];
  if (memory != nullptr) {
    forget_fresh(micro);
    run.state_in = memory;
    run.state_out = &next_;
  }
  network_->forward({tokens_, config_.batch_size}, run);
  const double scale = 1.0 / (tokens * config_.accumulate);
  const std::span<const float> losses = network_->losses_and_gradients(
      {targets_, scale, config_.l2wrap ? kL2Wrap : 0.0f, config_.rate_weight, config_.rate_target},
      gradients_.data());
  const double mean = mean_loss(losses);
  if (!std::isfinite(mean)) report_bad_loss();
  if (memory != nullptr) std::swap(*memory, next_);
  return mean * tokens;
}

StepReport Trainer::step(double lr) {
  activity_.reset();
  std::fill(gradients_.span().begin(), gradients_.span().end(), 0.0f);
  StepReport report;
  double loss = 0.0;
  for (std::int64_t micro = 0; micro < config_.accumulate; ++micro) {
    sample(micro);
    loss += forward_backward(micro);
    report.tokens += static_cast<std::int64_t>(tokens_.size());
  }
  report.gradient_norm = optimizer_.update(lr, parameters_.data(), gradients_.data());
  if (!std::isfinite(report.gradient_norm)) report_bad_gradient();
  if (!average_.span().empty()) {
    moving_average(layout_.flat_size(), 1.0 - config_.ema_decay, parameters_.data(), average_.data());
  }
  parameters_changed();
  report.step = steps_done();
  report.loss = loss / static_cast<double>(report.tokens);
  report.lr = lr;
  report.firing_rate = activity_.firing_rate(report.tokens);
  return report;
}

void Trainer::report_bad_loss() const {
  throw Error(ErrorKind::kDiverged,
              "step {}: the loss is not a finite number; the first value that is none came out of {}; "
              "try a smaller --lr or --grad-clip",
              steps_done() + 1, network_->first_non_finite());
}

// The backward pass runs from the head to the embedding: the last parameter that is bad met it first.
void Trainer::report_bad_gradient() const {
  const auto& infos = layout_.infos();
  std::string name = "no single parameter (their norm overflows)";
  for (auto info = infos.rbegin(); info != infos.rend(); ++info) {
    if (all_finite({gradients_.data() + info->offset, static_cast<std::size_t>(info->size)})) continue;
    name = info->name;
    break;
  }
  throw Error(ErrorKind::kDiverged,
              "step {}: the gradient is not finite; going backwards it first appeared in {}; try a "
              "smaller --lr or another --surrogate",
              steps_done() + 1, name);
}

std::size_t Trainer::memory_in_bytes() const {
  return network_->memory_in_bytes() + (4 * parameters_.size() + average_.size()) * sizeof(float);
}

}  // namespace spikegpt
