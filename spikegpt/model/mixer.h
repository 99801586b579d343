// What a half of a block computes between its norm and its residual sum: a time mix, a channel mix, or another one.
// Adding a mixer is one file that describes it and runs it, and its name in a row of architecture.cc.
#pragma once

#include <span>

#include "spikegpt/model/architecture.h"
#include "spikegpt/model/linear.h"
#include "spikegpt/model/pass.h"

namespace spikegpt {

// What a mixer's description depends on.
struct MixerContext {
  const ModelConfig& config;
  const char* state;   // its block's name for the half: "att" or "ffn"
  bool reads_spikes;   // neurons stand in front
  const char* hidden;  // the place of neurons within it, or null: none there

  bool shifts_after() const { return config.token_shift == "after"; }
};

// One pass of N = B * T tokens through one mixer. A step of decoding is a pass of one token with a state.
template <class A>
struct MixerPass {
  const Pass<A>& pass;
  const HalfForm& half;
  std::span<const Linear> products;        // as the form lists them, and so on
  std::span<float* const> weights;         // null where the configuration does not have one
  const HalfActivations<A>& keep;          // keep.input [N, C] is what the mixer reads
  std::span<float* const> state_in = {};   // [B, channels]; empty = before the first token
  std::span<float* const> state_out = {};  // empty = dropped; may be state_in

  bool has_neurons() const { return !half.sites.empty(); }
  // spikes [N, neurons] of the mixer's own neurons i, from their current.
  void fire(std::size_t i, const A* current, A* spikes) const;
  // The same again, from what was kept.
  void remake_spikes(std::size_t i, A* spikes) const;
  // In place: d [N, neurons], the gradient of the spikes, becomes that of `current`. Adds to that of their gain.
  void fire_backward(std::size_t i, const A* current, A* d, std::span<float* const> gradients) const;
  // Tells the probe what a product of kind kSquares is about to read.
  void show_squares(const A* values) const;
};

// Stateless: one object serves all blocks and threads.
class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual const char* name() const = 0;
  virtual PartForm form(const MixerContext& context) const = 0;
  // Floats of Scratch::sums that the backward pass needs.
  virtual std::int64_t sums(const SequenceShape& shape, const ModelConfig& config) const = 0;

  // out [N, C]; fills `keep`.
  virtual void forward(const MixerPass<float>& mix, float* out) const = 0;
  virtual void forward(const MixerPass<Bf16>& mix, Bf16* out) const = 0;
  // d_x [N, C], the gradient of keep.input, from d_out [N, C], which it may be. Adds to `gradients`, which are as
  // mix.weights.
  virtual void backward(const MixerPass<float>& mix, const float* d_out, float* d_x,
                        std::span<float* const> gradients) const = 0;
  virtual void backward(const MixerPass<Bf16>& mix, const Bf16* d_out, Bf16* d_x,
                        std::span<float* const> gradients) const = 0;
};

// Makes a Mixer of a class with templates `run` (forward) and `run_backward` for both activation types.
template <class Derived>
class MixerOf : public Mixer {
 public:
  void forward(const MixerPass<float>& mix, float* out) const final { self().run(mix, out); }
  void forward(const MixerPass<Bf16>& mix, Bf16* out) const final { self().run(mix, out); }
  void backward(const MixerPass<float>& mix, const float* d_out, float* d_x,
                std::span<float* const> gradients) const final {
    self().run_backward(mix, d_out, d_x, gradients);
  }
  void backward(const MixerPass<Bf16>& mix, const Bf16* d_out, Bf16* d_x,
                std::span<float* const> gradients) const final {
    self().run_backward(mix, d_out, d_x, gradients);
  }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

const Mixer& time_mix();
const Mixer& channel_mix();

}  // namespace spikegpt
