// Adaptive LIF: each spike raises the threshold, which falls back with a time constant of its own (SPEC.md
// 1).
#pragma once

#include <cmath>

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct AdaptiveLifSettings {
  double beta = 0.2;
  double tau_a = 20.0;
  bool operator==(const AdaptiveLifSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("alif_beta", self.beta, "alif: what a spike adds to the threshold", 0.0, 100.0);
    visitor("alif_tau_a", self.tau_a, "alif: time constant of the threshold [tokens]", 0.01, 1e6);
  }
};

// The threshold is v_threshold + beta a. The state a is that of the coming token: what is left of the spikes
// so far, in units of the threshold and whatever their sign. A soft reset takes the raised threshold away.
struct AdaptiveLif : LeakyNeuron {
  static constexpr int kStates = 2;
  static constexpr int kKeeps = 1;
  static constexpr bool kMovesThreshold = true;
  using State = Values<2>;
  float beta;
  float rho;
  float weight;         // of a spike, in units of the threshold
  float moving;         // 1 where a soft reset takes the threshold away, else 0
  float fixed;          // what it takes otherwise
  float negative_sign;  // of what a negative spike adds to a

  AdaptiveLif(const LifParameters& p, const AdaptiveLifSettings& own) noexcept
      : LeakyNeuron(p),
        beta(static_cast<float>(own.beta)),
        rho(static_cast<float>(std::exp(-1.0 / own.tau_a))),
        weight(p.thresholds().unit() / p.v_threshold),
        moving(p.hard_reset || p.thresholds().has_dead_zone() ? 0.0f : 1.0f),
        fixed(moving > 0.0f ? 0.0f : soft_unit),
        negative_sign(p.is_signed ? -1.0f : 1.0f) {}

  SPIKEGPT_INLINE float rest(int i) const noexcept { return i == 0 ? v_reset : 0.0f; }
  SPIKEGPT_INLINE float threshold(float a) const noexcept { return v_threshold + beta * a; }
  SPIKEGPT_INLINE float taken_at(float h, float threshold_now) const noexcept {
    return hard * (h - v_reset) + fixed + moving * threshold_now;
  }
  // d|s| / ds, or 1 for neurons without a sign.
  SPIKEGPT_INLINE float sign(float s) const noexcept { return s < 0.0f ? negative_sign : 1.0f; }

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    state[0] = leak(state[0], x);
  }
  SPIKEGPT_INLINE void reset(State& state, float s, float threshold_now, const Learned&) const noexcept {
    state[0] = state[0] - s * taken_at(state[0], threshold_now);
    state[1] = rho * state[1] + sign(s) * s * weight;
  }
  SPIKEGPT_INLINE void back_reset(const Fired& f, const Learned&, State& d, Learned&) const noexcept {
    const float d_v = d[0];
    const float d_sent =
        f.d_spike + d[1] * (sign(f.spike) * weight) - reset_gradient * (d_v * taken_at(f.h, f.threshold));
    const float d_threshold = d_sent * f.slope.threshold - d_v * f.spike * moving;
    d[0] = d_sent * f.slope.potential + d_v * (1.0f - hard * f.spike);
    d[1] = rho * d[1] + beta * d_threshold;
  }
  SPIKEGPT_INLINE float back_charge(float, const Fired&, const Learned&, State& d, Learned&) const noexcept {
    const float d_h = d[0];
    d[0] = d_h * d_leak_d_membrane();
    return d_h * d_leak_d_input();
  }
};

inline constexpr const char* kAdaptiveLifStates[] = {"membrane", "adaptation"};
inline constexpr NeuronInfo kAdaptiveLifInfo = {
    .name = "alif",
    .about = "LIF whose threshold rises with each spike",
    .formula = "LIF with the threshold v_threshold + beta a;  a = exp(-1 / tau_a) a + s",
    .source = "SPEC.md 1; Bellec et al. 2018, arXiv 1803.09574",
    .states = kAdaptiveLifStates,
    .learned = {},
    .uses = kUsesTau | kUsesDecayInput | kUsesReset,
    .operations = {.macs = 3, .additions = 3},
};

}  // namespace spikegpt
