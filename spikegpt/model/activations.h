// What a forward pass keeps for the backward pass, and the memory both work in. A is float or Bf16.
#pragma once

#include <cstdint>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

// What the neurons of one site keep: both [N, neurons], N = B * T.
template <class A>
struct NeuronActivations {
  A* distance = nullptr;
  A* more = nullptr;  // of kinds whose backward pass reads a second number
};

// Of one half of a block: a mixer with the norm in front and the neurons around it. What is "remade" is the same memory
// in all halves and does not survive the next: the backward pass makes it again.
template <class A>
struct HalfActivations {
  float* mean = nullptr;         // [N] of the norm
  float* inverse_std = nullptr;  // [N]
  A* input = nullptr;            // [N, C] what the mixer reads: LN output, or spikes; remade
  NeuronActivations<A> input_neurons;
  NeuronActivations<A> output_neurons;
  // The mixer's own, as its form lists them.
  std::vector<A*> values;
  std::vector<float*> statistics;
  std::vector<NeuronActivations<A>> neurons;
};

template <class A>
struct BlockActivations {
  // [N, C] residual stream behind every half but the last. Remade where `remakes_stream`, from the input of the block
  // and the spikes that were added.
  std::vector<float*> between;
  bool remakes_stream = false;
  std::vector<HalfActivations<A>> halves;
};

// Memory that no layer expects to find as it left it.
template <class A>
struct Scratch {
  std::vector<A*> part;   // as the mixers' forms ask for, and part[0] is [N, C] at least
  A* branch = nullptr;    // [N, C] output of a half on its way to the residual stream, or its gradient
  float* sums = nullptr;  // for the reductions of kernels
};

// Everything of one network for at most B sequences of T tokens.
template <class A>
struct Activations {
  float* embedded = nullptr;  // [N, C] before ln0
  float* ln0_mean = nullptr;  // [N]
  float* ln0_inverse_std = nullptr;
  // n_layer + 1 of [N, C]: the input of every block, and the last output. Where spikes remake the stream, only every
  // second one and the last are there when the backward pass begins; all others share `remade_residual`.
  std::vector<float*> residual;
  float* remade_residual = nullptr;         // null where all are kept
  std::vector<BlockActivations<A>> blocks;  // all the same memory unless activations are kept
  float* out_mean = nullptr;                // [N] of ln_out
  float* out_inverse_std = nullptr;
  A* head_input = nullptr;            // [N, C] what the head reads
  NeuronActivations<A> head_neurons;  // with event_head
  float* losses = nullptr;            // [N]
  float* logits = nullptr;            // [head_rows, V]
  A* d_logits = nullptr;              // [head_rows, V]
  std::int64_t head_rows = 0;         // rows the head works on at once
  float* d_residual = nullptr;        // [N, C] gradient of the residual stream
  Scratch<A> scratch;
};

struct ActivationPlan {
  std::int64_t batch = 1;
  std::int64_t tokens = 1;
  bool trainable = false;  // keep what backward needs
  bool recompute = false;  // keep only the input of every block
  SequenceShape shape(const ModelConfig& config) const { return {batch, tokens, config.n_embd}; }
};

// Lays the activations out in the arena; called once without memory to learn the size.
template <class A>
Activations<A> plan_activations(const ModelConfig& config, const ActivationPlan& plan, Arena& arena);

}  // namespace spikegpt
