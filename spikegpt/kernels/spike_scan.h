// The scan of spiking neurons over time: the kernel that runs every LIF of the model.
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/neurons/lif.h"

namespace spikegpt {

// What a neuron does at the threshold.
enum class FireMode : std::uint8_t {
  kSpike,   // heaviside: a spike is 0 or 1 (a graded neuron's a whole number)
  kSmooth,  // the surrogate's primitive, so that finite differences can check the backward pass
};

// A is the activation type, float or Bf16; membranes are float. Nothing overlaps but what is said to.
template <class A>
struct SpikeScanForward {
  const A* current = nullptr;          // [B, T, C] input current
  const float* gain = nullptr;         // [C] multiplies the current; null = 1
  const float* leak = nullptr;         // [C] sigmoid(leak) takes the place of 1 / tau (ParametricLif); null = tau
  const float* membrane_in = nullptr;  // [B, C] potential before the first token; null = at rest
  A* spikes = nullptr;                 // [B, T, C]
  A* distance = nullptr;               // [B, T, C] charged potential - threshold, for backward; may be null
  float* membrane_out = nullptr;       // [B, C] potential after the last token; may be null or membrane_in
};

// Charge, fire, reset for every token in turn (SPEC.md 1). Returns the number of spikes, negative ones included (0 in
// smooth mode).
template <class A>
std::int64_t spike_scan_forward(const SequenceShape& shape, const LifParameters& neuron, FireMode mode,
                                const SpikeScanForward<A>& scan) noexcept;

// D is the type of the incoming gradient: float where it is the residual stream's, else A.
template <class A, class D>
struct SpikeScanBackward {
  const A* distance = nullptr;            // [B, T, C] as forward wrote it
  const D* d_spikes = nullptr;            // [B, T, C]
  const A* current = nullptr;             // [B, T, C], needed with gain only
  const float* gain = nullptr;            // [C] or null
  const float* leak = nullptr;            // [C] or null
  const float* membrane_in = nullptr;     // [B, C] or null = at rest; with leak only
  const float* d_membrane_out = nullptr;  // [B, C] or null = 0
  A* d_current = nullptr;                 // [B, T, C]; may be d_spikes where A = D
  float* d_gain = nullptr;                // [C], added to; with gain only
  float* d_leak = nullptr;                // [C], added to; with leak only
  float* d_membrane_in = nullptr;         // [B, C] or null
  float activity_cost = 0.0f;             // what a spike costs: its sign times this is added to d_spikes
  float* scratch = nullptr;               // 2 [B, C], with gain or leak only
};

// Back-propagation through time with ds/dh replaced by the surrogate gradient (SPEC.md 1).
template <class A, class D>
void spike_scan_backward(const SequenceShape& shape, const LifParameters& neuron, FireMode mode,
                         const SpikeScanBackward<A, D>& scan) noexcept;

// spikes [n] from the distances that forward kept: cheaper to make again than to keep.
template <class A>
void spikes_from_distance(std::int64_t n, const LifParameters& neuron, FireMode mode, const A* distance,
                          A* spikes) noexcept;

}  // namespace spikegpt
