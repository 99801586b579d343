// The quadratic integrate-and-fire neuron: above v_c the potential grows by itself, below it falls to v_rest.
#pragma once

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct QifSettings {
  double v_rest = 0.0;
  double v_c = 0.8;
  double a0 = 1.0;
  bool operator==(const QifSettings&) const = default;

  // Calls visitor(key, field, help, least, most) for every setting; both ends of the range are allowed.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("qif_v_rest", self.v_rest, "qif: potential it falls back to", -100.0, 100.0);
    visitor("qif_v_c", self.v_c, "qif: potential above which it grows by itself", -100.0, 100.0);
    visitor("qif_a0", self.a0, "qif: strength of the square", 1e-6, 100.0);
  }
};

struct Qif : ResettingNeuron {
  static constexpr bool kReadsBefore = true;
  float tau;
  float leak;  // 1 / tau
  float v_rest;
  float v_c;
  float a0;

  Qif(const LifParameters& p, const QifSettings& own) noexcept
      : ResettingNeuron(p),
        tau(p.tau),
        leak(1.0f / p.tau),
        v_rest(static_cast<float>(own.v_rest)),
        v_c(static_cast<float>(own.v_c)),
        a0(static_cast<float>(own.a0)) {}

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    const float v = state[0];
    state[0] = bounded_potential(v + (x + a0 * (v - v_rest) * (v - v_c)) / tau);
  }
  SPIKEGPT_INLINE float back_charge(float before, const Fired& fired, const Learned&, State& d,
                                    Learned&) const noexcept {
    const float d_h = d[0] * d_bounded_potential(fired.h);
    d[0] = d_h * (1.0f + a0 * leak * (2.0f * before - v_rest - v_c));
    return d_h * leak;
  }
};

inline constexpr NeuronInfo kQifInfo = {
    .name = "qif",
    .about = "quadratic integrate-and-fire",
    .formula = "h = v + (x + a0 (v - v_rest) (v - v_c)) / tau",
    .source = "Ermentrout and Kopell 1986; Gerstner et al. 2014, Neuronal Dynamics 5.3",
    .states = kMembraneState,
    .learned = {},
    .uses = kUsesTau | kUsesReset,
    .operations = {.macs = 1, .additions = 5, .multiplies = 2},
};

}  // namespace spikegpt
