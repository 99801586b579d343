// What every layer of a forward or backward pass needs beside its own weights.
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/core/probe.h"
#include "spikegpt/kernels/packed_product.h"
#include "spikegpt/kernels/pointwise.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/model/activations.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/model/recurrent_state.h"

namespace spikegpt {

template <class A>
struct Pass {
  SequenceShape shape;                        // [B, T, C] of this batch
  std::span<const NeuronParameters> neurons;  // of every spike site
  Surrogate surrogate;                        // of the binary embedding
  FireMode fire = FireMode::kSpike;
  Dropout dropout;                            // stream of block 0; block i uses stream + i
  const RecurrentState* state_in = nullptr;   // null = before the first token
  const RecurrentState* state_out = nullptr;  // receives the state after the last token; null = dropped
  Scratch<A>* scratch = nullptr;
  std::span<float* const> learned;    // per site, null where the neurons learn nothing
  std::span<float* const> d_learned;  // their gradients
  bool learned_per_layer = true;
  std::span<SiteCount> spike_counts;        // per site, added to
  std::span<const float> activity_costs;    // per site: of one of what it sends, in the gradient; empty = free
  Probe* probe = nullptr;
  PackedRunner* runner = nullptr;  // of a packed model

  const NeuronParameters& neuron(int site) const { return neurons[static_cast<std::size_t>(site)]; }
  SequenceShape with_channels(std::int64_t channels) const { return {shape.batch, shape.tokens, channels}; }
};

}  // namespace spikegpt
