// The integrate-and-fire neuron: what comes in stays until it fires.
#pragma once

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct IntegrateFire : ResettingNeuron {
  using ResettingNeuron::ResettingNeuron;

  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    state[0] = state[0] + x;
  }
  SPIKEGPT_INLINE float back_charge(float, const Fired&, const Learned&, State& d, Learned&) const noexcept {
    return d[0];
  }
};

inline constexpr NeuronInfo kIntegrateFireInfo = {
    .name = "if",
    .about = "integrate-and-fire: no leak",
    .formula = "h = v + x",
    .source = "Lapicque 1907",
    .states = kMembraneState,
    .learned = {},
    .uses = kUsesReset,
    .operations = {.additions = 3},
};

}  // namespace spikegpt
