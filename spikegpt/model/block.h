// A block: halves, each a mixer with its norm, its neurons and its residual sum (SPEC.md 6, 7).
#pragma once

#include <vector>

#include "spikegpt/model/mixer.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/parameters.h"

namespace spikegpt {

// What the published inference script multiplies a block's output projections by, to match the halvings of the stream
// before it (SPEC.md 10); 1 unless the configuration asks for that script.
float published_scale(const ModelConfig& config, int layer);
// Whether that script halves the stream behind block `layer`.
bool is_halved_after(const ModelConfig& config, int layer);

class Block {
 public:
  Block(const NetworkForm& network, int layer, GemmPrecision precision, BackwardWeights* backward);
  // For forward passes; reads the matrices of network.products, which must outlive it.
  Block(const NetworkForm& network, int layer, std::span<const PackedMatrix> packed);

  // `scale` multiplies what the block's halves compute before any neuron: 1 but for the published inference script.
  void pack(const BlockWeights& weights, float scale);

  // x_out [N, C] from x [N, C], the residual stream. x_out may be x unless backward follows.
  template <class A>
  void forward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
               float* x_out) const;

  // In place: d_x [N, C] becomes the gradient of the block's input. Adds to `gradients`.
  template <class A>
  void backward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
                float* d_x, const BlockWeights& gradients) const;

  // As forward computed it, x_out again from x and the distances that were kept; needs keep.remakes_stream.
  template <class A>
  void remake_output(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, float* x_out) const;

  // What half i is called in messages: "time mix", "first channel mix".
  std::string half_name(std::size_t i) const;

 private:
  struct Half {
    HalfForm form;
    std::vector<Linear> products;
  };
  template <class A>
  MixerPass<A> mixer_pass(const Pass<A>& pass, const Half& half, const HalfWeights& weights,
                          const HalfActivations<A>& keep) const;
  bool is_last(std::size_t i) const { return i + 1 == halves_.size(); }
  // Dropout is that of the block's output.
  template <class A>
  Dropout dropout_of(const Pass<A>& pass, std::size_t half) const;
  // What half i reads.
  template <class A>
  static const float* stream(const BlockActivations<A>& keep, const float* x, std::size_t i) {
    return i == 0 ? x : keep.between[i - 1];
  }
  template <class A>
  void remake_between(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, std::size_t end) const;
  template <class A>
  void add_spikes_again(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, std::size_t i,
                        float* after) const;

  int layer_;
  std::vector<Half> halves_;
};

}  // namespace spikegpt
