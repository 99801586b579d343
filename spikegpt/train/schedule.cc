#include "spikegpt/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spikegpt {
namespace {

// How much of lr - lr_final is left: 1 at the start of the run, 0 at its end (but for constant).
double share_left(const TrainConfig& config, double progress) {
  if (config.schedule == "constant") return 1.0;
  if (config.schedule == "linear") return 1.0 - progress;
  if (config.schedule == "wsd") return std::min(1.0, (1.0 - progress) / config.decay_fraction);
  return 0.5 + 0.5 * std::cos(std::numbers::pi * progress);
}

}  // namespace

double learning_rate(const TrainConfig& config, std::int64_t step, double progress) {
  if (step < config.warmup_steps) {
    const double share = static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps + 1);
    return config.lr_final + (config.lr - config.lr_final) * share;
  }
  return config.lr_final + (config.lr - config.lr_final) * share_left(config, std::clamp(progress, 0.0, 1.0));
}

}  // namespace spikegpt
