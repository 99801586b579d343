// Token embedding as spikes (SPEC.md 2): the second of the two places where the engine makes a spike.
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/neurons/surrogate.h"

namespace spikegpt {

struct EmbeddingMode {
  bool binary = true;  // heaviside(weight); false: the weight itself
  Surrogate surrogate;
  FireMode fire = FireMode::kSpike;
};

// x[i, :] = encode(weight[tokens[i], :]); weight [V, C], x [n, C].
void embedding_forward(std::span<const std::int32_t> tokens, std::int64_t channels, const EmbeddingMode& mode,
                       const float* weight, float* x) noexcept;

// d_weight [V, C] is added to, token by token in order.
struct EmbeddingBackward {
  const float* weight = nullptr;
  const float* d_x = nullptr;
  float* d_weight = nullptr;
};
void embedding_backward(std::span<const std::int32_t> tokens, std::int64_t channels, const EmbeddingMode& mode,
                        const EmbeddingBackward& embedding) noexcept;

}  // namespace spikegpt
