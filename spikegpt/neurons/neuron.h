// What every kind of neuron has in common: its settings, its state, its description, and the reset of its
// potential.
//
// A kind is a header of this folder with formulas for one neuron and one token, no loop. The scans over time
// (kernels/spike_scan.cc) are compiled once for each kind; docs/neurons.md shows how to add one. They ask of
// it:
//
//   kStates, kLearned       how many numbers it carries from token to token (its potential first), and how
//                           many it learns
//   kReadsBefore            back_charge reads the potential from before the charge
//   kKeeps                  which of its states the backward pass reads beside the potential, or -1
//   kMovesThreshold         its threshold depends on that state
//   rest(i)                 state i before the first token
//   first_learned(i, tau)   of one that learns: the number that is stored, before training (tau is the
//                           setting, which p.tau has rounded to float)
//   learned(i, raw)         what it learns, from the number that is stored
//   d_learned(i, value, d)  the gradient of that number
//   charge(state, x, learned)            the current x arrives
//   threshold(kept)                      where it fires
//   reset(state, s, threshold, learned)  it has sent s
//   back_reset(...), back_charge(...)    the gradient through reset and charge: the chain rule, given ds/dh
#pragma once

#include <span>

#include "spikegpt/core/inline.h"
#include "spikegpt/neurons/fire.h"
#include "spikegpt/neurons/surrogate.h"

namespace spikegpt {

// Settings that kinds share. Time is in tokens: one token, one step.
struct LifParameters {
  float tau = 2.0f;  // membrane time constant [tokens]
  float v_threshold = 1.0f;
  float v_reset = 0.0f;    // potential after a spike, and the one it leaks to; 0 for soft reset
  bool hard_reset = true;  // false: a spike subtracts the threshold
  bool decay_input = true;
  bool detach_reset = false;
  int levels = 1;  // spikes a neuron may send in one token: one for every v_threshold its potential reaches
  bool is_signed = false;  // potentials below -v_threshold send negative spikes
  int payload_steps = 0;   // above 0: a dead zone, then the potential in steps of v_threshold / payload_steps
  Surrogate surrogate;

  // What an event stands for, in thresholds: less than one where potentials are sent in steps.
  float event_value() const noexcept { return payload_steps > 0 ? 1.0f / static_cast<float>(payload_steps) : 1.0f; }
  Thresholds thresholds() const noexcept { return {v_threshold, levels, is_signed, payload_steps}; }
};

// A few numbers of one neuron.
template <int kCount>
struct Values {
  float at[kCount > 0 ? kCount : 1] = {};
  SPIKEGPT_INLINE float& operator[](int i) noexcept { return at[i]; }
  SPIKEGPT_INLINE const float& operator[](int i) const noexcept { return at[i]; }
};

// Derivatives of what is sent: by the potential and, for a threshold that moves, by the threshold.
struct FireSlope {
  float potential;
  float threshold;
};

// What goes into the reset of a token, and the gradient of what was sent. For the backward pass.
struct Fired {
  float h;          // charged potential
  float spike;      // what was sent
  float threshold;  // where it fired
  FireSlope slope;
  float d_spike;
};

// What one neuron does for one token, in operations of the three accounts. Comparisons count as additions.
struct NeuronOperations {
  int macs = 0;
  int additions = 0;
  int multiplies = 0;
  int exponentials = 0;
  int divisions = 0;
};

// Which of the shared settings a kind reads.
enum NeuronUses : unsigned {
  kUsesTau = 1u,
  kUsesDecayInput = 2u,
  kUsesReset = 4u,  // v_reset and detach_reset
};

struct NeuronInfo {
  const char* name;     // in files and flags
  const char* about;    // one line
  const char* formula;  // of charge, fire and reset
  const char* source;
  std::span<const char* const> states;   // names, the potential first
  std::span<const char* const> learned;  // names of what it learns; empty for none
  unsigned uses = 0;
  NeuronOperations operations;  // charge, comparison and reset
};

// The largest potential of a neuron that grows by itself. Nothing fires up there that would not far below,
// and squares and exponentials of it stay finite.
inline constexpr float kMostPotential = 1000.0f;
SPIKEGPT_INLINE float bounded_potential(float h) noexcept {
  return h < kMostPotential ? (h > -kMostPotential ? h : -kMostPotential) : kMostPotential;
}
// Its derivative: 1 within. Rounding to bf16 may have moved h.
SPIKEGPT_INLINE float d_bounded_potential(float h) noexcept {
  return (h < 0.99f * kMostPotential && h > -0.99f * kMostPotential) ? 1.0f : 0.0f;
}

// What kinds whose potential is all their state need not say.
struct PotentialNeuron {
  static constexpr int kStates = 1;
  static constexpr int kLearned = 0;
  static constexpr bool kReadsBefore = false;
  static constexpr int kKeeps = -1;
  static constexpr bool kMovesThreshold = false;
  using State = Values<1>;
  using Learned = Values<0>;

  float v_threshold;
  float v_reset;
  float reset_gradient;  // 1, or 0 when the reset is detached
  float unit;            // what a soft reset takes away for a spike
  Thresholds thresholds;

  explicit PotentialNeuron(const LifParameters& p) noexcept
      : v_threshold(p.v_threshold),
        v_reset(p.v_reset),
        reset_gradient(p.detach_reset ? 0.0f : 1.0f),
        unit(p.thresholds().unit()),
        thresholds(p.thresholds()) {}

  SPIKEGPT_INLINE float rest(int) const noexcept { return v_reset; }
  SPIKEGPT_INLINE static float learned(int, float raw) noexcept { return raw; }
  SPIKEGPT_INLINE static float d_learned(int, float, float d) noexcept { return d; }
  SPIKEGPT_INLINE float threshold(float) const noexcept { return v_threshold; }
};

// The reset of SPEC.md 1, hard or soft without a branch: a spike takes h - v_reset away, or its unit.
struct ResettingNeuron : PotentialNeuron {
  float hard;       // 1 or 0
  float soft_unit;  // 0 where hard

  explicit ResettingNeuron(const LifParameters& p) noexcept
      : PotentialNeuron(p), hard(p.hard_reset ? 1.0f : 0.0f), soft_unit(p.hard_reset ? 0.0f : unit) {}

  SPIKEGPT_INLINE float taken(float h) const noexcept { return hard * (h - v_reset) + soft_unit; }

  template <class States, class Learnt>
  SPIKEGPT_INLINE void reset(States& state, float s, float, const Learnt&) const noexcept {
    state[0] = state[0] - s * taken(state[0]);
  }
  // d: gradient of the state after the reset, becomes that of the charged one.
  template <class States, class Learnt>
  SPIKEGPT_INLINE void back_reset(const Fired& f, const Learnt&, States& d, Learnt&) const noexcept {
    const float d_sent = f.d_spike - reset_gradient * (d[0] * taken(f.h));
    d[0] = d_sent * f.slope.potential + d[0] * (1.0f - hard * f.spike);
  }
};

// A leak towards v_reset without a branch: the current is divided by tau as well, or not.
struct LeakyNeuron : ResettingNeuron {
  float tau;
  float decayed;  // 1 or 0: how much of the current leaks
  float raw;      // the rest

  explicit LeakyNeuron(const LifParameters& p) noexcept
      : ResettingNeuron(p),
        tau(p.tau),
        decayed(p.decay_input ? 1.0f : 0.0f),
        raw(p.decay_input ? 0.0f : 1.0f) {}

  SPIKEGPT_INLINE float leak(float v, float x) const noexcept {
    return v + (x * decayed - (v - v_reset)) / tau + x * raw;
  }
  SPIKEGPT_INLINE float d_leak_d_membrane() const noexcept { return 1.0f - 1.0f / tau; }
  SPIKEGPT_INLINE float d_leak_d_input() const noexcept { return decayed / tau + raw; }
};

}  // namespace spikegpt
