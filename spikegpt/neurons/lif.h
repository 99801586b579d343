// The leaky integrate-and-fire neuron as formulas (SPEC.md 1). Time is in tokens: one token, one step.
#pragma once

#include <cmath>

#include "spikegpt/core/inline.h"
#include "spikegpt/neurons/heaviside.h"
#include "spikegpt/neurons/surrogate.h"

namespace spikegpt {

// Where a neuron fires. One with several thresholds is graded: they lie at 1, ..., levels times the first, and if it is
// signed at as many below rest, where it sends negative spikes. z is the potential minus the first threshold.
struct Thresholds {
  float first;
  int levels;
  bool is_signed;

  // More than the spike of SPEC.md 1; such neurons reset softly.
  bool is_graded() const noexcept { return levels > 1 || is_signed; }

  // The i-th spike is step(offset + slope * z) * slope; the slope is -1 for a negative one.
  struct Threshold {
    float offset;
    float slope;
  };
  int count() const noexcept { return is_signed ? 2 * levels : levels; }
  Threshold at(int i) const noexcept {
    if (i < levels) return {-static_cast<float>(i) * first, 1.0f};
    return {-static_cast<float>(i - levels + 2) * first, -1.0f};
  }
  // All of them together: kSigned is is_signed, which a loop over neurons must know before it begins.
  template <bool kSigned>
  SPIKEGPT_INLINE float spikes(float z) const noexcept {
    const float inverse = 1.0f / first;
    const float most = static_cast<float>(levels) - 1.0f;
    const float positive = thresholds_reached(z, first, inverse, 0.0f, most);
    if constexpr (!kSigned) return positive;
    return positive - thresholds_reached(-z, first, inverse, 2.0f, most + 2.0f);
  }
};

struct LifParameters {
  float tau = 2.0f;  // membrane time constant [tokens]
  float v_threshold = 1.0f;
  float v_reset = 0.0f;    // potential after a spike, and the one it leaks to; 0 for soft reset
  bool hard_reset = true;  // false: a spike subtracts the threshold
  bool decay_input = true;
  bool detach_reset = false;
  int levels = 1;          // spikes a neuron may send in one token: one for every v_threshold its potential reaches
  bool is_signed = false;  // potentials below -v_threshold send negative spikes
  Surrogate surrogate;

  Thresholds thresholds() const noexcept { return {v_threshold, levels, is_signed}; }
};

// One neuron. The booleans of LifParameters that change the formula are template parameters, so that a
// scan over many neurons has no branch.
template <bool kHardReset, bool kDecayInput>
struct Lif {
  float tau;
  float v_threshold;
  float v_reset;
  float reset_gradient;  // 1, or 0 when the reset is detached
  Thresholds thresholds;

  explicit Lif(const LifParameters& p) noexcept
      : tau(p.tau),
        v_threshold(p.v_threshold),
        v_reset(p.v_reset),
        reset_gradient(p.detach_reset ? 0.0f : 1.0f),
        thresholds(p.thresholds()) {}

  // Potential after the input current x has been integrated, before the neuron may fire.
  SPIKEGPT_INLINE float charge(float membrane, float x) const noexcept {
    if constexpr (kDecayInput) return membrane + (x - (membrane - v_reset)) / tau;
    return membrane - (membrane - v_reset) / tau + x;
  }
  SPIKEGPT_INLINE float charge(float membrane, float x, float) const noexcept { return charge(membrane, x); }
  // Potential after firing: s is the spike, h the charged potential.
  SPIKEGPT_INLINE float reset(float h, float s) const noexcept {
    if constexpr (kHardReset) return s * v_reset + (1.0f - s) * h;
    return h - s * v_threshold;
  }

  // Derivatives, with ds/dh replaced by the surrogate gradient g.
  SPIKEGPT_INLINE float d_reset(float h, float s, float g) const noexcept {
    if constexpr (kHardReset) return (1.0f - s) + reset_gradient * ((v_reset - h) * g);
    return 1.0f - reset_gradient * (v_threshold * g);
  }
  // The scans call these with a leak, which only ParametricLif has.
  SPIKEGPT_INLINE float d_charge_d_membrane(float) const noexcept { return d_charge_d_membrane(); }
  SPIKEGPT_INLINE float d_charge_d_input(float) const noexcept { return d_charge_d_input(); }
  SPIKEGPT_INLINE float d_charge_d_membrane() const noexcept { return 1.0f - 1.0f / tau; }
  SPIKEGPT_INLINE float d_charge_d_input() const noexcept { return kDecayInput ? 1.0f / tau : 1.0f; }
};

// The neuron with a time constant of its own for every neuron (PLIF, Fang et al. 2021): `leak` is 1 / tau [1 / token],
// the logistic function of what is learned, so that tau stays above 1.
template <bool kHardReset, bool kDecayInput>
struct ParametricLif : Lif<kHardReset, kDecayInput> {
  using Lif<kHardReset, kDecayInput>::Lif;

  SPIKEGPT_INLINE float charge(float membrane, float x, float leak) const noexcept {
    if constexpr (kDecayInput) return membrane + (x - (membrane - this->v_reset)) * leak;
    return membrane - (membrane - this->v_reset) * leak + x;
  }
  SPIKEGPT_INLINE float d_charge_d_membrane(float leak) const noexcept { return 1.0f - leak; }
  SPIKEGPT_INLINE float d_charge_d_input(float leak) const noexcept { return kDecayInput ? leak : 1.0f; }
  // From the potentials before (membrane) and after (h): the current need not be kept.
  SPIKEGPT_INLINE float d_charge_d_leak(float membrane, float h, float leak) const noexcept {
    if constexpr (kDecayInput) return (h - membrane) / leak;
    return this->v_reset - membrane;
  }
};

// What ParametricLif learns for a time constant tau > 1: leak = sigmoid(of this).
inline float leak_parameter(double tau) { return static_cast<float>(-std::log(tau - 1.0)); }

// Calls function(Lif<...>) with the variant that the parameters ask for.
template <class Function>
SPIKEGPT_INLINE void with_lif(const LifParameters& p, Function&& function) {
  if (p.hard_reset && p.decay_input) return function(Lif<true, true>(p));
  if (p.hard_reset) return function(Lif<true, false>(p));
  if (p.decay_input) return function(Lif<false, true>(p));
  function(Lif<false, false>(p));
}
template <class Function>
SPIKEGPT_INLINE void with_parametric_lif(const LifParameters& p, Function&& function) {
  if (p.hard_reset && p.decay_input) return function(ParametricLif<true, true>(p));
  if (p.hard_reset) return function(ParametricLif<true, false>(p));
  if (p.decay_input) return function(ParametricLif<false, true>(p));
  function(ParametricLif<false, false>(p));
}

}  // namespace spikegpt
