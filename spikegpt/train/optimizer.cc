#include "spikegpt/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/train/name_patterns.h"

namespace spikegpt {

AdamStep adam_step(const TrainConfig& config, double lr, std::int64_t step) {
  return {.lr = lr,
          .beta1 = config.beta1,
          .beta2 = config.beta2,
          .eps = config.eps,
          .step = step,
          .weight_decay = config.weight_decay};
}

Adam::Adam(const ParameterLayout& layout, const TrainConfig& config)
    : config_(config),
      first_moment_(static_cast<std::size_t>(layout.flat_size())),
      second_moment_(static_cast<std::size_t>(layout.flat_size())),
      norm_scratch_(static_cast<std::size_t>(squared_norm_scratch_size(layout.flat_size()))) {
  const std::vector<bool> frozen = matching_parameters(layout, config.freeze, "freeze");
  if (std::find(frozen.begin(), frozen.end(), false) == frozen.end()) {
    throw Error(ErrorKind::kInvalidArgument, "freeze leaves no parameter to train");
  }
  for (std::size_t i = 0; i < frozen.size(); ++i) {
    const ParameterInfo& info = layout.infos()[i];
    const std::int64_t end = i + 1 < frozen.size() ? layout.infos()[i + 1].offset : layout.flat_size();
    const Range range = {info.offset, end - info.offset, config.weight_decay > 0.0 && info.shape.size() == 2,
                         frozen[i]};
    if (!ranges_.empty() && ranges_.back().decays == range.decays && ranges_.back().frozen == range.frozen) {
      ranges_.back().size += range.size;
    } else {
      ranges_.push_back(range);
    }
  }
}

void Adam::reset() {
  step_ = 0;
  std::fill(first_moment_.span().begin(), first_moment_.span().end(), 0.0f);
  std::fill(second_moment_.span().begin(), second_moment_.span().end(), 0.0f);
}

double Adam::update(double lr, float* parameters, float* gradients) {
  for (const Range& range : ranges_) {
    if (range.frozen) std::fill_n(gradients + range.offset, range.size, 0.0f);
  }
  const auto size = static_cast<std::int64_t>(first_moment_.size());
  const double norm = std::sqrt(squared_norm(size, gradients, norm_scratch_.data()));
  if (!std::isfinite(norm)) return norm;
  AdamStep step = adam_step(config_, lr, ++step_);
  // The small number is PyTorch's, so that runs agree.
  if (config_.grad_clip > 0.0) {
    step.gradient_scale = std::min(1.0, config_.grad_clip / (norm + 1e-6));
  }
  for (const Range& range : ranges_) {
    if (range.frozen) continue;
    step.weight_decay = range.decays ? config_.weight_decay : 0.0;
    const std::int64_t at = range.offset;
    adam_update(range.size, step,
                {parameters + at, gradients + at, first_moment_.data() + at, second_moment_.data() + at});
  }
  return norm;
}

}  // namespace spikegpt
