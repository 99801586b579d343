// Input gains that start every neuron of `event` at a healthy firing rate (SPEC.md 7).
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/model/config.h"
#include "spikegpt/model/init.h"

namespace spikegpt {

// Sets the gains of arch `event` in `parameters` to current_std / std of the current that the neurons get from the
// tokens [T]: layer by layer, since the current of one depends on the gain of those before. Does nothing for
// other architectures.
void calibrate_gains(const ModelConfig& config, std::span<const std::int32_t> tokens, float* parameters,
                     double current_std = kEventGain);

}  // namespace spikegpt
