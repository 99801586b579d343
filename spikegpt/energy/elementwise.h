// What a network computes beside its products per token, and what it is compared with.
#pragma once

#include <cstdint>

#include "spikegpt/core/operations.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

// Element-wise work of a layer per token: norms, token shift, attention, gates, neurons, residual; layer n_layer is the
// last norm, and what comes before layer 0 counts to it.
Operations elementwise_of(const ModelConfig& config, int layer);

// The network without neurons of the same size.
ModelConfig twin_of(const ModelConfig& config);

// Multiply-accumulates per token of a Transformer of the same depth, width and vocabulary that has `context` tokens
// before it: L (12 C^2 + 2 context C) + V C.
std::int64_t transformer_macs(const ModelConfig& config, std::int64_t context);

}  // namespace spikegpt
