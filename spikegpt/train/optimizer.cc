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

Adam::Adam(const ParameterLayout& layout, const TrainConfig& config, std::span<const FlatRange> own) : config_(config) {
  const FlatRange all = {0, layout.flat_size()};
  if (own.empty()) own = {&all, 1};
  const std::vector<bool> frozen = matching_parameters(layout, config.freeze, "freeze");
  if (std::find(frozen.begin(), frozen.end(), false) == frozen.end()) {
    throw Error(ErrorKind::kInvalidArgument, "freeze leaves no parameter to train");
  }
  const auto& infos = layout.infos();
  std::int64_t moments = 0;
  std::size_t i = 0;
  for (const FlatRange& range : own) {
    for (std::int64_t first = range.first; first < range.first + range.size;) {
      while (i + 1 < infos.size() && infos[i + 1].offset <= first) ++i;
      const std::int64_t end = i + 1 < infos.size() ? infos[i + 1].offset : layout.flat_size();
      const std::int64_t size = std::min(end, range.first + range.size) - first;
      add({first, size, config.weight_decay > 0.0 && infos[i].shape.size() == 2, frozen[i], moments});
      first += size;
      moments += size;
    }
  }
  first_moment_ = AlignedBuffer<float>(static_cast<std::size_t>(moments));
  second_moment_ = AlignedBuffer<float>(static_cast<std::size_t>(moments));
  norm_scratch_ = AlignedBuffer<double>(static_cast<std::size_t>(squared_norm_scratch_size(moments)));
}

// Joins it to the one before where both are treated alike.
void Adam::add(const Range& range) {
  if (!ranges_.empty()) {
    Range& last = ranges_.back();
    const bool alike = last.decays == range.decays && last.frozen == range.frozen;
    if (alike && last.offset + last.size == range.offset) {
      last.size += range.size;
      return;
    }
  }
  ranges_.push_back(range);
}

double Adam::squared_gradient(float* gradients) {
  for (const Range& range : ranges_) {
    if (range.frozen) std::fill_n(gradients + range.offset, range.size, 0.0f);
  }
  // Neighbours are added as one, so that what is frozen or decays does not change the sum.
  double sum = 0.0;
  for (std::size_t i = 0; i < ranges_.size();) {
    const std::int64_t first = ranges_[i].offset;
    std::int64_t end = first;
    for (; i < ranges_.size() && ranges_[i].offset == end; ++i) end += ranges_[i].size;
    sum += squared_norm(end - first, gradients + first, norm_scratch_.data());
  }
  return sum;
}

void Adam::update(double lr, double norm, float* parameters, const float* gradients) {
  AdamStep step = adam_step(config_, lr, ++step_);
  // The small number is PyTorch's, so that runs agree.
  if (config_.grad_clip > 0.0) {
    step.gradient_scale = std::min(1.0, config_.grad_clip / (norm + 1e-6));
  }
  for (const Range& range : ranges_) {
    if (range.frozen) continue;
    step.weight_decay = range.decays ? config_.weight_decay : 0.0;
    adam_update(range.size, step,
                {parameters + range.offset, gradients + range.offset, first_moment_.data() + range.moment,
                 second_moment_.data() + range.moment});
  }
}

}  // namespace spikegpt
