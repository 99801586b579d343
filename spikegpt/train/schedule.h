// The learning rate over a run (SPEC.md 9).
#pragma once

#include "spikegpt/train/train_config.h"

namespace spikegpt {

// `progress` in [0, 1] is the share of the run that is over; `step` counts from 0. Linear warm-up from lr_final
// to lr over warmup_steps, then config.schedule from lr to lr_final.
double learning_rate(const TrainConfig& config, std::int64_t step, double progress);

}  // namespace spikegpt
