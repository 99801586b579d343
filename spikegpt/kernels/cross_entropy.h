// Softmax cross-entropy over logits, with the gradient-only term "L2Wrap" (SPEC.md 6).
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// rows x V. The caller hands over as many rows at a time as it wants to hold logits for.
template <class A>
struct CrossEntropy {
  const float* logits = nullptr;          // [rows, V]
  const std::int32_t* targets = nullptr;  // [rows]
  float* losses = nullptr;                // [rows] negative log-likelihood of the target, in nats
  A* d_logits = nullptr;                  // [rows, V] gradient of scale * sum of losses; may be logits; or null
  float scale = 1.0f;                     // 1 / number of tokens of the mean
  float l2wrap = 0.0f;                    // 1e-4 adds scale * 1e-4 * max logit to the gradient of the maximum
};
template <class A>
void cross_entropy(std::int64_t rows, std::int64_t vocab_size, const CrossEntropy<A>& loss) noexcept;

}  // namespace spikegpt
