// Time mix: spiking RWKV attention, linear in the length of the text (SPEC.md 4, 7).
#pragma once

#include "spikegpt/model/linear.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/pass.h"

namespace spikegpt {

class TimeMix {
 public:
  TimeMix(const ModelConfig& config, int layer, GemmPrecision precision, BackwardWeights* backward);
  // For forward passes; reads `packed`, which must outlive it.
  TimeMix(const ModelConfig& config, int layer, const PackedTimeMix& packed);

  // `scale` multiplies the weights of the last projection.
  void pack(const TimeMixWeights& weights, float scale);

  // out [N, C] from x [N, C] = keep.input; fills the rest of `keep`.
  template <class A>
  void forward(const Pass<A>& pass, const TimeMixWeights& weights, MixActivations<A>& keep, A* out) const;

  // d_x [N, C] from d_out [N, C]; adds to `gradients`. d_x may be d_out.
  template <class A>
  void backward(const Pass<A>& pass, const TimeMixWeights& weights, const MixActivations<A>& keep, const A* d_out,
                A* d_x, const TimeMixWeights& gradients) const;

 private:
  int layer_;
  int hidden_site_;  // -1 unless neurons read sigmoid(r) * wkv
  Linear receptance_;
  Linear key_;
  Linear value_;
  Linear output_;
};

}  // namespace spikegpt
