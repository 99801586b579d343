// The scan of spiking neurons over time: the kernel that runs every neuron of the model.
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/neurons/kinds.h"

namespace spikegpt {

// What a neuron does at the threshold.
enum class FireMode : std::uint8_t {
  kSpike,   // heaviside: a spike is 0 or 1 (a graded neuron's a whole number)
  kSmooth,  // the surrogate's primitive, so that finite differences can check the backward pass
};

// What a kind of neuron learns: `values` [learned, C], or [learned] for all neurons of a layer together. Null for the
// kinds that learn nothing. A LIF that is given some is a ParametricLif.
struct LearnedValues {
  const float* values = nullptr;
  bool per_layer = false;
};

// A is the activation type, float or Bf16; states are float. Nothing overlaps but what is said to.
template <class A>
struct SpikeScanForward {
  const A* current = nullptr;   // [B, T, C] input current
  const float* gain = nullptr;  // [C] multiplies the current; null = 1
  LearnedValues learned = {};
  const float* membrane_in = nullptr;  // [states, B, C] before the first token, the potential first; null = at rest
  A* spikes = nullptr;                 // [B, T, C]
  A* distance = nullptr;               // [B, T, C] charged potential - threshold, for backward; may be null
  A* kept = nullptr;                   // [B, T, C] for backward too, of kinds that keep more; may be null
  float* membrane_out = nullptr;       // [states, B, C] after the last token; may be null or membrane_in
};

// Charge, fire, reset for every token in turn (SPEC.md 1). Returns the number of spikes, negative ones included (0 in
// smooth mode).
template <class A>
std::int64_t spike_scan_forward(const SequenceShape& shape, const NeuronParameters& neuron, FireMode mode,
                                const SpikeScanForward<A>& scan) noexcept;

// D is the type of the incoming gradient: float where it is the residual stream's, else A.
template <class A, class D>
struct SpikeScanBackward {
  const A* distance = nullptr;  // [B, T, C] as forward wrote it
  const A* kept = nullptr;      // [B, T, C] too
  const D* d_spikes = nullptr;  // [B, T, C]
  const A* current = nullptr;   // [B, T, C], needed with gain only
  const float* gain = nullptr;  // [C] or null
  LearnedValues learned = {};
  const float* membrane_in = nullptr;     // [states, B, C] or null = at rest
  const float* d_membrane_out = nullptr;  // [states, B, C] or null = 0
  A* d_current = nullptr;                 // [B, T, C]; may be d_spikes where A = D
  float* d_gain = nullptr;                // [C], added to; with gain only
  float* d_learned = nullptr;             // as learned.values, added to; with these only
  float* d_membrane_in = nullptr;         // [states, B, C] or null
  float activity_cost = 0.0f;             // what a spike costs: its sign times this is added to d_spikes
  float* scratch = nullptr;               // (1 + learned) [B, C], with gain or learned only
};

// Back-propagation through time with ds/dh replaced by the surrogate gradient (SPEC.md 1).
template <class A, class D>
void spike_scan_backward(const SequenceShape& shape, const NeuronParameters& neuron, FireMode mode,
                         const SpikeScanBackward<A, D>& scan) noexcept;

// spikes [n] from the distances that forward kept, and what else it kept: cheaper to make again than to keep.
template <class A>
void spikes_from_distance(std::int64_t n, const NeuronParameters& neuron, FireMode mode, const A* distance, A* spikes,
                          const A* kept = nullptr) noexcept;

}  // namespace spikegpt
