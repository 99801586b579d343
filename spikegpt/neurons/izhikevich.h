// The Izhikevich neuron: a quadratic one that a second variable w holds back; each spike adds b to w.
#pragma once

#include "spikegpt/neurons/lif.h"

namespace spikegpt {

struct IzhikevichSettings {
  double v_rest = -0.1;
  double v_c = 0.8;
  double a0 = 1.0;
  double w_rest = 0.0;
  double tau_w = 2.0;
  double a = 0.0;
  double b = 0.0;
  bool operator==(const IzhikevichSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("izhikevich_v_rest", self.v_rest, "izhikevich: potential it falls back to", -100.0, 100.0);
    visitor("izhikevich_v_c", self.v_c, "izhikevich: potential above which it grows by itself", -100.0,
            100.0);
    visitor("izhikevich_a0", self.a0, "izhikevich: strength of the square", 1e-6, 100.0);
    visitor("izhikevich_w_rest", self.w_rest, "izhikevich: w before the first token", -100.0, 100.0);
    visitor("izhikevich_tau_w", self.tau_w, "izhikevich: time constant of w [tokens]", 1.0, 1e6);
    visitor("izhikevich_a", self.a, "izhikevich: how w follows the potential", -100.0, 100.0);
    visitor("izhikevich_b", self.b, "izhikevich: what a spike adds to w", -100.0, 100.0);
  }
};

struct Izhikevich : ResettingNeuron {
  static constexpr int kStates = 2;
  static constexpr bool kReadsBefore = true;
  using State = Values<2>;
  float tau;
  float leak;  // 1 / tau
  float v_rest;
  float v_c;
  float a0;
  float w_rest;
  float rate_w;  // 1 / tau_w
  float a;
  float b;

  Izhikevich(const LifParameters& p, const IzhikevichSettings& own) noexcept
      : ResettingNeuron(p),
        tau(p.tau),
        leak(1.0f / p.tau),
        v_rest(static_cast<float>(own.v_rest)),
        v_c(static_cast<float>(own.v_c)),
        a0(static_cast<float>(own.a0)),
        w_rest(static_cast<float>(own.w_rest)),
        rate_w(static_cast<float>(1.0 / own.tau_w)),
        a(static_cast<float>(own.a)),
        b(static_cast<float>(own.b)) {}

  SPIKEGPT_INLINE float rest(int i) const noexcept { return i == 0 ? v_reset : w_rest; }
  SPIKEGPT_INLINE void charge(State& state, float x, const Learned&) const noexcept {
    const float v = state[0];
    const float w = state[1];
    const float h = bounded_potential(v + (x + a0 * (v - v_rest) * (v - v_c) - w) / tau);
    state[0] = h;
    state[1] = w + (a * (h - v_rest) - w) * rate_w;
  }
  SPIKEGPT_INLINE void reset(State& state, float s, float, const Learned&) const noexcept {
    state[0] = state[0] - s * taken(state[0]);
    state[1] += b * s;
  }
  // A detached reset detaches what a spike takes from the potential; what it adds (v_reset, b) keeps its
  // gradient.
  SPIKEGPT_INLINE void back_reset(const Fired& f, const Learned&, State& d, Learned&) const noexcept {
    const float by_spike = hard * v_reset - reset_gradient * (hard * f.h + soft_unit);
    const float d_sent = f.d_spike + d[1] * b + d[0] * by_spike;
    d[0] = d_sent * f.slope.potential + d[0] * (1.0f - hard * f.spike);
  }
  SPIKEGPT_INLINE float back_charge(float before, const Fired& fired, const Learned&, State& d,
                                    Learned&) const noexcept {
    const float d_h = (d[0] + d[1] * a * rate_w) * d_bounded_potential(fired.h);
    d[0] = d_h * (1.0f + a0 * leak * (2.0f * before - v_rest - v_c));
    d[1] = d[1] * (1.0f - rate_w) - d_h * leak;
    return d_h * leak;
  }
};

inline constexpr const char* kIzhikevichStates[] = {"membrane", "w"};
inline constexpr NeuronInfo kIzhikevichInfo = {
    .name = "izhikevich",
    .about = "quadratic neuron with a recovery variable w",
    .formula = "h = v + (x + a0 (v - v_rest) (v - v_c) - w) / tau;  w += (a (h - v_rest) - w) / tau_w + b s",
    .source = "Izhikevich 2003, IEEE Trans. Neural Networks 14(6)",
    .states = kIzhikevichStates,
    .learned = {},
    .uses = kUsesTau | kUsesReset,
    .operations = {.macs = 4, .additions = 6, .multiplies = 2},
};

}  // namespace spikegpt
