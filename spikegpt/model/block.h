// A block: time mix, then channel mix, each with its norm, its neurons and its residual sum (SPEC.md 6, 7).
#pragma once

#include <optional>

#include "spikegpt/model/channel_mix.h"
#include "spikegpt/model/spike_sites.h"
#include "spikegpt/model/time_mix.h"

namespace spikegpt {

// What the published inference script multiplies a block's output projections by, to match the halvings of the stream
// before it (SPEC.md 10); 1 unless the configuration asks for that script.
float published_scale(const ModelConfig& config, int layer);
// Whether that script halves the stream behind block `layer`.
bool is_halved_after(const ModelConfig& config, int layer);

class Block {
 public:
  Block(const ModelConfig& config, int layer, GemmPrecision precision, BackwardWeights* backward);
  // For forward passes; reads `packed`, which must outlive it.
  Block(const ModelConfig& config, int layer, const PackedBlock& packed);

  // `scale` multiplies what the block's halves compute before any neuron: 1 but for the published inference script.
  void pack(const BlockWeights& weights, float scale);

  // x_out [N, C] from x [N, C], the residual stream. x_out may be x unless backward follows.
  template <class A>
  void forward(const Pass<A>& pass, const BlockWeights& weights, BlockActivations<A>& keep, const float* x,
               float* x_out) const;

  // In place: d_x [N, C] becomes the gradient of the block's input. Adds to `gradients`.
  template <class A>
  void backward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
                float* d_x, const BlockWeights& gradients) const;

  // As forward computed it, x_out again from x and the distances that were kept; needs keep.remakes_stream.
  template <class A>
  void remake_output(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, float* x_out) const;

 private:
  template <class A>
  Dropout dropout_of(const Pass<A>& pass) const;
  template <class A>
  void remake_middle(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x) const;
  template <class A>
  void remake_input(const Pass<A>& pass, const LayerNormWeights& norm, int input_site, const float* x,
                    const MixActivations<A>& keep) const;
  template <class A>
  void read_residual(const Pass<A>& pass, const LayerNormWeights& norm, int input_site, const float* x,
                     MixActivations<A>& keep) const;
  template <class A>
  const A* fire_output(const Pass<A>& pass, int output_site, const MixActivations<A>& keep) const;
  template <class A>
  void output_gradient(const Pass<A>& pass, int output_site, const MixActivations<A>& keep, const float* d_x) const;
  template <class A>
  void input_gradient(const Pass<A>& pass, const LayerNormWeights& norm, int input_site, const MixActivations<A>& keep,
                      const float* x, float* d_x, const LayerNormWeights& gradients) const;

  int layer_;
  BlockSites sites_;
  std::optional<TimeMix> time_mix_;
  std::optional<ChannelMix> ffn_pre_;  // takes the place of the time mix in block 0 of RWKV-ffnPre
  ChannelMix channel_mix_;
};

}  // namespace spikegpt
