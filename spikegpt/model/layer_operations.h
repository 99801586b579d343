// Operations of the layers beside the products, per token.
#pragma once

#include "spikegpt/core/operations.h"
#include "spikegpt/neurons/kinds.h"

namespace spikegpt {

// Mean, variance, and (x - mean) * inverse_std * weight + bias.
inline Operations layer_norm_operations(std::int64_t C) {
  return {.macs = 2 * C, .accumulates = 2 * C, .multiplies = C, .divisions = 1};
}

// previous + mu (x - previous)
inline Operations token_shift_operations(std::int64_t channels) { return {.macs = channels, .accumulates = channels}; }

inline Operations sigmoid_operations(std::int64_t n) { return {.accumulates = n, .exponentials = n, .divisions = n}; }
inline Operations multiply_operations(std::int64_t n) { return {.multiplies = n}; }
inline Operations add_operations(std::int64_t n) { return {.accumulates = n}; }
inline Operations squared_relu_operations(std::int64_t n) { return {.accumulates = n, .multiplies = n}; }

// SPEC.md 4: two exponents, two maxima and four exponentials; numerator and denominator for output and state; the
// quotient.
inline Operations wkv_operations(std::int64_t C) {
  return {.macs = 4 * C, .accumulates = 8 * C, .multiplies = 2 * C, .exponentials = 4 * C, .divisions = C};
}

// Charge, compare, reset; a gain in front where there is one.
inline Operations neuron_operations(const NeuronParameters& neuron, std::int64_t n, bool has_gain) {
  const NeuronOperations& one = info_of(neuron.kind).operations;
  const int taps = neuron.kind == NeuronKind::kSlidingPsn ? neuron.own.sliding.taps : 0;
  return {.macs = n * (one.macs + taps),
          .accumulates = n * one.additions,
          .multiplies = n * (one.multiplies + (has_gain ? 1 : 0)),
          .exponentials = n * one.exponentials,
          .divisions = n * one.divisions};
}

}  // namespace spikegpt
