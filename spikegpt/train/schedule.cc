#include "spikegpt/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spikegpt {

double learning_rate(const TrainConfig& config, std::int64_t step, double progress) {
  if (step < config.warmup_steps) {
    const double share = static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps + 1);
    return config.lr_final + (config.lr - config.lr_final) * share;
  }
  const double cosine = 0.5 + 0.5 * std::cos(std::numbers::pi * std::clamp(progress, 0.0, 1.0));
  return config.lr_final + (config.lr - config.lr_final) * cosine;
}

}  // namespace spikegpt
