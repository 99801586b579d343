// The exponential integrate-and-fire neuron: near theta_rh the potential takes off by itself.
#pragma once

#include "spikegpt/neurons/exponential.h"
#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct EifSettings {
  double v_rest = 0.0;
  double theta_rh = 0.8;
  double delta_t = 1.0;
  bool operator==(const EifSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("eif_v_rest", self.v_rest, "eif: potential it leaks to", -100.0, 100.0);
    visitor("eif_theta_rh", self.theta_rh, "eif: potential at which it takes off (rheobase threshold)",
            -100.0, 100.0);
    visitor("eif_delta_t", self.delta_t, "eif: how gently it takes off; small is sharp", 0.01, 100.0);
  }
};

struct Eif : ResettingNeuron {
  static constexpr bool kReadsBefore = true;
  float tau;
  float v_rest;
  float theta_rh;
  float delta_t;
  float sharpness;  // 1 / delta_t
  float leak;       // 1 / tau

  Eif(const LifParameters& p, const EifSettings& own) noexcept
      : ResettingNeuron(p),
        tau(p.tau),
        v_rest(static_cast<float>(own.v_rest)),
        theta_rh(static_cast<float>(own.theta_rh)),
        delta_t(static_cast<float>(own.delta_t)),
        sharpness(static_cast<float>(1.0 / own.delta_t)),
        leak(1.0f / p.tau) {}

  SPIKEGPT_INLINE float exponential(float v) const noexcept { return bounded_exp((v - theta_rh) * sharpness); }

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    const float v = state[0];
    const float take_off = delta_t * exponential(v);
    state[0] = bounded_potential(v + (x + v_rest - v + take_off) / tau);
  }
  SPIKEGPT_INLINE float back_charge(float before, const Fired& fired, const Learned&, State& d,
                                    Learned&) const noexcept {
    const float inside = d_bounded_potential(fired.h);
    const float d_h = d[0] * inside;
    d[0] = d_h * (1.0f + (exponential(before) - 1.0f) * leak);
    return d_h * leak;
  }
};

inline constexpr NeuronInfo kEifInfo = {
    .name = "eif",
    .about = "exponential integrate-and-fire",
    .formula = "h = v + (x + v_rest - v + delta_t exp((v - theta_rh) / delta_t)) / tau",
    .source = "Fourcaud-Trocme et al. 2003, J. Neurosci. 23(37)",
    .states = kMembraneState,
    .learned = {},
    .uses = kUsesTau | kUsesReset,
    .operations = {.macs = 2, .additions = 5, .multiplies = 1, .exponentials = 1},
};

}  // namespace spikegpt
