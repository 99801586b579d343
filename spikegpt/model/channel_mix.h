// Channel mix: the spiking receptance feed-forward layer (SPEC.md 5, 7).
#pragma once

#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/linear.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/pass.h"

namespace spikegpt {

// Which half of a block a channel mix is: it decides whose state and neurons it uses.
enum class BlockHalf : std::uint8_t { kFirst, kSecond };

class ChannelMix {
 public:
  ChannelMix(const ModelConfig& config, int layer, BlockHalf half, GemmPrecision precision, BackwardWeights* backward);
  // For forward passes; reads `packed`, which must outlive it.
  ChannelMix(const ModelConfig& config, int layer, BlockHalf half, const PackedChannelMix& packed);

  // `scale` multiplies the weights of the last projection.
  void pack(const ChannelMixWeights& weights, float scale);

  // out [N, C] from x [N, C] = keep.input; fills the rest of `keep`.
  template <class A>
  void forward(const Pass<A>& pass, const ChannelMixWeights& weights, MixActivations<A>& keep, A* out) const;

  // d_x [N, C] from d_out [N, C]; adds to `gradients`. d_x may be d_out.
  template <class A>
  void backward(const Pass<A>& pass, const ChannelMixWeights& weights, const MixActivations<A>& keep, const A* d_out,
                A* d_x, const ChannelMixWeights& gradients) const;

 private:
  float* shift_state(const RecurrentState* state) const;
  template <class A>
  TokenShiftForward<A> shift_of(const Pass<A>& pass, const ChannelMixWeights& weights, const A* x,
                                const RecurrentState* state_out) const;

  int layer_;
  BlockHalf half_;
  int hidden_site_;  // -1 for relu(k)^2; else neurons take its place
  bool squares_;     // relu(k)^2, and then neurons or not
  std::int64_t hidden_size_;
  Linear receptance_;
  Linear key_;
  Linear value_;
};

}  // namespace spikegpt
