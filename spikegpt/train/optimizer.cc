#include "spikegpt/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "spikegpt/kernels/adam.h"

namespace spikegpt {

Adam::Adam(std::int64_t size, const TrainConfig& config)
    : config_(config),
      first_moment_(static_cast<std::size_t>(size)),
      second_moment_(static_cast<std::size_t>(size)),
      norm_scratch_(static_cast<std::size_t>(squared_norm_scratch_size(size))) {}

double Adam::update(double lr, float* parameters, const float* gradients) {
  const auto size = static_cast<std::int64_t>(first_moment_.size());
  const double norm = std::sqrt(squared_norm(size, gradients, norm_scratch_.data()));
  if (!std::isfinite(norm)) return norm;
  AdamStep step;
  step.lr = lr;
  step.beta1 = config_.beta1;
  step.beta2 = config_.beta2;
  step.eps = config_.eps;
  step.step = ++step_;
  // The small number is PyTorch's, so that runs agree.
  if (config_.grad_clip > 0.0) {
    step.gradient_scale = std::min(1.0, config_.grad_clip / (norm + 1e-6));
  }
  adam_update(size, step, {parameters, gradients, first_moment_.data(), second_moment_.data()});
  return norm;
}

}  // namespace spikegpt
