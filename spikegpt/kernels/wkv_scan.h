// The attention of RWKV as a scan over time, with its receptance gate (SPEC.md 4).
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/shape.h"

namespace spikegpt {

// The whole memory of attention: what the sums over all earlier tokens have come to. Each [B, C]; the true
// sums are numerator * e^max_exponent and denominator * e^max_exponent.
struct WkvState {
  float* numerator = nullptr;
  float* denominator = nullptr;
  float* max_exponent = nullptr;
};

// Value of max_exponent before any token.
inline constexpr float kEmptyMaxExponent = -1e38f;

struct WkvWeights {
  const float* time_decay = nullptr;  // [C] w; a channel forgets at the rate e^w per token
  const float* time_first = nullptr;  // [C] u; bonus of the current token
};

// A is the activation type, float or Bf16; sums are float. [B, T, C] throughout.
template <class A>
struct WkvForward {
  const A* receptance = nullptr;
  const A* key = nullptr;
  const A* value = nullptr;
  A* output = nullptr;  // sigmoid(receptance) * wkv
  WkvState in{};        // [B, C] each; null = empty
  WkvState out{};       // may be null or the same as `in`
};

// Runs in the overflow-safe form: keys and bonuses up to 1e37 in size give finite results and gradients.
template <class A>
void wkv_forward(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<A>& scan) noexcept;

template <class A>
struct WkvBackward {
  const A* receptance = nullptr;
  const A* key = nullptr;
  const A* value = nullptr;
  const A* d_output = nullptr;
  WkvState in{};           // as forward had it; null = empty
  WkvState d_state_out{};  // gradient of numerator and denominator of forward's `out`, max_exponent held fixed; or null
  A* output = nullptr;     // forward's, made again; or null
  A* d_receptance = nullptr;  // may be d_output
  A* d_key = nullptr;
  A* d_value = nullptr;
  float* d_time_decay = nullptr;  // [C], added to
  float* d_time_first = nullptr;  // [C], added to
  WkvState d_state_in{};          // gradient of numerator and denominator of `in`; or null
  float* scratch = nullptr;       // wkv_scratch_size(shape) floats, 64-byte aligned
};

// The scan is recomputed; nothing of it but its inputs is kept from forward.
template <class A>
void wkv_backward(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<A>& scan) noexcept;

// Grows with thread_count().
std::int64_t wkv_scratch_size(const SequenceShape& shape) noexcept;

}  // namespace spikegpt
