// LIF with a time constant that is learned, of each neuron or of a layer (PLIF, Fang et al. 2021).
#pragma once

#include <cmath>

#include "spikegpt/neurons/exponential.h"
#include "spikegpt/neurons/lif.h"

namespace spikegpt {

// `leak` is 1 / tau [1 / token], the logistic function of what is learned, so that tau stays above 1.
template <bool kHardReset, bool kDecayInput>
struct ParametricLif : LifReset<kHardReset> {
  static constexpr int kLearned = 1;
  static constexpr bool kReadsBefore = true;
  using State = Values<1>;
  using Learned = Values<1>;
  using LifReset<kHardReset>::LifReset;

  SPIKEGPT_INLINE static float learned(int, float raw) noexcept { return sigmoid(raw); }
  // With an input that leaks, d has the factor `leak` in it already.
  SPIKEGPT_INLINE static float d_learned(int, float leak, float d) noexcept {
    return kDecayInput ? d * (1.0f - leak) : d * leak * (1.0f - leak);
  }
  // What is stored for a time constant tau > 1.
  static float first_learned(int, double tau) noexcept { return static_cast<float>(-std::log(tau - 1.0)); }

  SPIKEGPT_INLINE float charge(float membrane, float x, float leak) const noexcept {
    if constexpr (kDecayInput) return membrane + (x - (membrane - this->v_reset)) * leak;
    return membrane - (membrane - this->v_reset) * leak + x;
  }
  // From the potentials before (membrane) and after (h): the current need not be kept. Times `leak` where the input
  // leaks: the division is the same for all tokens, and left to the end.
  SPIKEGPT_INLINE float d_charge_d_leak(float membrane, float h) const noexcept {
    if constexpr (kDecayInput) return h - membrane;
    return this->v_reset - membrane;
  }

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned& leak) const noexcept {
    state[0] = charge(state[0], x, leak[0]);
  }
  SPIKEGPT_INLINE float back_charge(float before, const Fired& fired, const Learned& leak, State& d,
                                    Learned& d_leak) const noexcept {
    const float d_h = d[0];
    d_leak[0] += d_h * d_charge_d_leak(before, fired.h);
    d[0] = d_h * (1.0f - leak[0]);
    return d_h * (kDecayInput ? leak[0] : 1.0f);
  }
};

inline constexpr const char* kLeakLearned[] = {"leak"};
inline constexpr NeuronInfo kParametricLifInfo = {
    .name = "plif",
    .about = "LIF that learns its time constant, starting from tau",
    .formula = "h = v + (x - (v - v_reset)) * sigmoid(leak)",
    .source = "Fang et al. 2021, arXiv 2007.05785",
    .states = kMembraneState,
    .learned = kLeakLearned,
    .uses = kUsesTau | kUsesDecayInput | kUsesReset,
    .operations = {.macs = 1, .additions = 3},
};

}  // namespace spikegpt
