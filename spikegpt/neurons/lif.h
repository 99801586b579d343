// The leaky integrate-and-fire neuron as formulas (SPEC.md 1). Time is in tokens: one token, one step.
#pragma once

#include <cmath>

#include "spikegpt/neurons/neuron.h"

namespace spikegpt {

// The reset of the neurons of this header and of parametric_lif.h: hard or soft is known before a loop begins.
template <bool kHardReset>
struct LifReset : PotentialNeuron {
  using PotentialNeuron::PotentialNeuron;

  // Potential after firing: s is the spike, h the charged potential.
  SPIKEGPT_INLINE float reset(float h, float s) const noexcept {
    if constexpr (kHardReset) return s * v_reset + (1.0f - s) * h;
    return h - s * unit;
  }
  // Its derivative, with ds/dh replaced by the surrogate gradient g.
  SPIKEGPT_INLINE float d_reset(float h, float s, float g) const noexcept {
    if constexpr (kHardReset) return (1.0f - s) + reset_gradient * ((v_reset - h) * g);
    return 1.0f - reset_gradient * (unit * g);
  }
  template <class Learnt>
  SPIKEGPT_INLINE void reset(State& state, float s, float, const Learnt&) const noexcept {
    state[0] = reset(state[0], s);
  }
  template <class Learnt>
  SPIKEGPT_INLINE void back_reset(const Fired& fired, const Learnt&, State& d, Learnt&) const noexcept {
    d[0] = fired.d_spike * fired.slope.potential + d[0] * d_reset(fired.h, fired.spike, fired.slope.potential);
  }
};

// One neuron. The booleans of LifParameters that change the formula are template parameters, so that a
// scan over many neurons has no branch.
template <bool kHardReset, bool kDecayInput>
struct Lif : LifReset<kHardReset> {
  float tau;

  explicit Lif(const LifParameters& p) noexcept : LifReset<kHardReset>(p), tau(p.tau) {}

  // Potential after the input current x has been integrated, before the neuron may fire.
  SPIKEGPT_INLINE float charge(float membrane, float x) const noexcept {
    if constexpr (kDecayInput) return membrane + (x - (membrane - this->v_reset)) / tau;
    return membrane - (membrane - this->v_reset) / tau + x;
  }
  SPIKEGPT_INLINE float d_charge_d_membrane() const noexcept { return 1.0f - 1.0f / tau; }
  SPIKEGPT_INLINE float d_charge_d_input() const noexcept { return kDecayInput ? 1.0f / tau : 1.0f; }

  SPIKEGPT_INLINE void charge(Values<1>& state, float x, const Values<0>&) const noexcept {
    state[0] = charge(state[0], x);
  }
  SPIKEGPT_INLINE float back_charge(float, const Fired&, const Values<0>&, Values<1>& d, Values<0>&) const noexcept {
    const float d_h = d[0];
    d[0] = d_h * d_charge_d_membrane();
    return d_h * d_charge_d_input();
  }
};

inline constexpr const char* kMembraneState[] = {"membrane"};
inline constexpr NeuronInfo kLifInfo = {
    .name = "lif",
    .about = "leaky integrate-and-fire: the neuron of SpikeGPT",
    .formula = "h = v + (x - (v - v_reset)) / tau",
    .source = "SPEC.md 1; Zhu et al. 2023, arXiv 2302.13939",
    .states = kMembraneState,
    .learned = {},
    .uses = kUsesTau | kUsesDecayInput | kUsesReset,
    .operations = {.macs = 1, .additions = 3},
};

}  // namespace spikegpt
