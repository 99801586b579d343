// Gains that start the neurons within mixers at a healthy firing rate (SPEC.md 7).
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/model/config.h"
#include "spikegpt/model/init.h"

namespace spikegpt {

// Sets the gains in `parameters` to current_std / std of the current that the neurons get from the tokens [T]: layer by
// layer, since the current of one depends on the gain of those before. Does nothing where neurons have no gain.
void calibrate_gains(const ModelConfig& config, std::span<const std::int32_t> tokens, float* parameters,
                     double current_std = kEventGain);

}  // namespace spikegpt
