// What a forward pass keeps for the backward pass, and the memory both work in. A is float or Bf16.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

// Of one half of a block: a time mix or a channel mix with the norm in front and the neurons around it. What is
// "remade" is the same memory in all halves and does not survive the next: the backward pass makes it again.
template <class A>
struct MixActivations {
  float* mean = nullptr;         // [N] of the norm; N = B * T
  float* inverse_std = nullptr;  // [N]
  A* input = nullptr;            // [N, C] what the projections read: LN output, or spikes in `event`; remade
  A* input_distance = nullptr;   // [N, C] event
  A* receptance = nullptr;       // [N, C]
  A* key = nullptr;              // time mix [N, C]; channel mix of `event` [N, 4C]
  A* value = nullptr;            // [N, C]
  A* hidden = nullptr;  // time mix [N, C] sigmoid(r) * wkv, remade but in `event`; channel mix [N, 4C] relu(k)^2
  float* hidden_mean = nullptr;  // [N] of attention_norm
  float* hidden_inverse_std = nullptr;
  A* hidden_distance = nullptr;  // event: of the neurons behind `hidden` or `key`
  A* output_distance = nullptr;  // [N, C] spikegpt
  A* input_kept = nullptr;       // beside the distances, of kinds of neurons that keep more
  A* hidden_kept = nullptr;
  A* output_kept = nullptr;
};

template <class A>
struct BlockActivations {
  float* middle = nullptr;      // [N, C] residual stream between the halves
  bool remakes_stream = false;  // `middle` is remade, from the input of the block and the spikes that were added
  MixActivations<A> first;
  MixActivations<A> second;
};

// Memory that no layer expects to find as it left it.
template <class A>
struct Scratch {
  std::array<A*, 4> narrow{};  // [N, C] each
  std::array<A*, 2> wide{};    // [N, 4C] each; the second to train `event` only
  A* branch = nullptr;         // [N, C] output of a half on its way to the residual stream, or its gradient
  float* sums = nullptr;       // for the reductions of kernels
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
  A* head_input = nullptr;      // [N, C] what the head reads
  A* head_distance = nullptr;   // [N, C] with event_head
  A* head_kept = nullptr;
  float* losses = nullptr;      // [N]
  float* logits = nullptr;      // [head_rows, V]
  A* d_logits = nullptr;        // [head_rows, V]
  std::int64_t head_rows = 0;   // rows the head works on at once
  float* d_residual = nullptr;  // [N, C] gradient of the residual stream
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
