// KLIF: LIF whose potential is scaled by a learned k and kept above zero before it may fire (Jiang and Zhang
// 2023).
#pragma once

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct KlifSettings {
  bool scale_reset = false;
  double k = 1.0;
  bool operator==(const KlifSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("klif_scale_reset", self.scale_reset, "klif: divide the potential by k again after firing", 0.0,
            1.0);
    visitor("klif_k", self.k, "klif: k at the start of training", 0.01, 100.0);
  }
};

// Whether the reset divides is known before a loop begins.
template <bool kScaleReset>
struct Klif : LeakyNeuron {
  static constexpr int kLearned = 1;
  using Learned = Values<1>;
  float first_k;

  Klif(const LifParameters& p, const KlifSettings& own) noexcept
      : LeakyNeuron(p), first_k(static_cast<float>(own.k)) {}

  float first_learned(int, double) const noexcept { return first_k; }
  // What is added up over the tokens has the factor k, which is the same for all of them.
  SPIKEGPT_INLINE static float d_learned(int, float k, float d) noexcept { return k != 0.0f ? d / k : 0.0f; }

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned& k) const noexcept {
    const float scaled = k[0] * leak(state[0], x);
    state[0] = scaled > 0.0f ? scaled : 0.0f;
  }
  SPIKEGPT_INLINE float inverse([[maybe_unused]] float k) const noexcept { return kScaleReset ? 1.0f / k : 1.0f; }
  // A hard reset divides the potential alone, a soft one what is left of it.
  SPIKEGPT_INLINE void reset(State& state, float s, float, const Learned& k) const noexcept {
    const float left = state[0] * (1.0f - hard * s) - s * soft_unit;
    state[0] = left * inverse(k[0]) + s * (hard * v_reset);
  }
  SPIKEGPT_INLINE void back_reset(const Fired& f, [[maybe_unused]] const Learned& k, State& d,
                                  [[maybe_unused]] Learned& d_k) const noexcept {
    const float scale = inverse(k[0]);
    const float d_v = d[0];
    const float by_spike = hard * v_reset - (hard * f.h + soft_unit) * scale;
    d[0] = (f.d_spike + reset_gradient * (d_v * by_spike)) * f.slope.potential +
           d_v * ((1.0f - hard * f.spike) * scale);
    if constexpr (kScaleReset) {
      const float left = f.h * (1.0f - hard * f.spike) - f.spike * soft_unit;
      d_k[0] -= d_v * left * scale;
    }
  }
  SPIKEGPT_INLINE float back_charge(float, const Fired& fired, const Learned& k, State& d,
                                    Learned& d_k) const noexcept {
    const bool positive = fired.h > 0.0f;
    const float d_h = d[0];
    d_k[0] += positive ? d_h * fired.h : 0.0f;
    const float d_unscaled = positive ? d_h * k[0] : 0.0f;
    d[0] = d_unscaled * d_leak_d_membrane();
    return d_unscaled * d_leak_d_input();
  }
};

inline constexpr const char* kKlifLearned[] = {"k"};
inline constexpr NeuronInfo kKlifInfo = {
    .name = "klif",
    .about = "LIF whose potential is relu(k h), k learned",
    .formula = "h = relu(k (v + (x - (v - v_reset)) / tau))",
    .source = "Jiang and Zhang 2023, arXiv 2302.09238",
    .states = kMembraneState,
    .learned = kKlifLearned,
    .uses = kUsesTau | kUsesDecayInput | kUsesReset,
    .operations = {.macs = 1, .additions = 4, .multiplies = 1},
};

}  // namespace spikegpt
