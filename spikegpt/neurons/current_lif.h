// Current-based LIF: what arrives lives on as a current with a time constant of its own (SPEC.md 1).
#pragma once

#include <cmath>

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct CurrentLifSettings {
  double tau_s = 2.0;
  bool operator==(const CurrentLifSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("clif_tau_s", self.tau_s, "clif: time constant of the current [tokens]", 0.01, 1e6);
  }
};

struct CurrentLif : ResettingNeuron {
  static constexpr int kStates = 2;
  using State = Values<2>;
  float tau;
  float decay;  // of the current, in a token

  CurrentLif(const LifParameters& p, const CurrentLifSettings& own) noexcept
      : ResettingNeuron(p), tau(p.tau), decay(static_cast<float>(std::exp(-1.0 / own.tau_s))) {}

  SPIKEGPT_INLINE float rest(int i) const noexcept { return i == 0 ? v_reset : 0.0f; }
  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    state[1] = decay * state[1] + x;
    state[0] = state[0] + (state[1] - (state[0] - v_reset)) / tau;
  }
  SPIKEGPT_INLINE float back_charge(float, const Fired&, const Learned&, State& d, Learned&) const noexcept {
    const float d_h = d[0];
    const float d_current = d[1] + d_h * (1.0f / tau);
    d[0] = d_h * (1.0f - 1.0f / tau);
    d[1] = decay * d_current;
    return d_current;
  }
};

inline constexpr const char* kCurrentLifStates[] = {"membrane", "current"};
inline constexpr NeuronInfo kCurrentLifInfo = {
    .name = "clif",
    .about = "LIF whose input current decays slowly: two time constants",
    .formula = "i = exp(-1 / tau_s) i + x;  h = v + (i - (v - v_reset)) / tau",
    .source = "SPEC.md 1; Gerstner et al. 2014, Neuronal Dynamics 1.3",
    .states = kCurrentLifStates,
    .learned = {},
    .uses = kUsesTau | kUsesReset,
    .operations = {.macs = 2, .additions = 3},
};

}  // namespace spikegpt
