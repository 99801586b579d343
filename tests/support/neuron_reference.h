// Every kind of neuron as its formula writes it: one neuron, in double, a plain loop. Without a formula of
// the engine, so that it can be held against the kernels.
#pragma once

#include <cmath>
#include <vector>

#include "spikegpt/neurons/kinds.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::reference {

// What goes into one neuron.
struct NeuronInput {
  std::vector<double> x;
  std::vector<double> state;    // before the first token
  std::vector<double> learned;  // as it is stored
};
struct NeuronTrace {
  std::vector<double> z;  // potential - threshold
  std::vector<double> threshold;
  std::vector<double> spike;  // what it sent
  std::vector<double> v;      // potential after the reset
  std::vector<double> state;  // after the last token
};
// What a trace takes from another one: spikes that a detached reset is constant in; spikes sent whatever z
// is; distances to go on from, so that errors do not grow from token to token (neurons that grow by
// themselves make them).
struct Given {
  const std::vector<double>* detached = nullptr;
  const std::vector<double>* sent = nullptr;
  const std::vector<double>* z = nullptr;
};

inline double sent(const NeuronParameters& p, FireMode mode, double z, double threshold) {
  if (p.payload_steps == 0) {
    const auto step = [&](double distance) {
      if (mode == FireMode::kSpike) return distance >= 0.0 ? 1.0 : 0.0;
      return surrogate(p.surrogate, distance).primitive;
    };
    double sum = 0.0;
    for (int k = 1; k <= p.levels; ++k) {
      sum += step(z - (k - 1) * threshold);
      if (p.is_signed) sum -= step(-z - (k + 1) * threshold);
    }
    return sum;
  }
  const double h = z + threshold;
  const double steps = h / (static_cast<double>(p.v_threshold) / p.payload_steps);
  if (mode == FireMode::kSmooth) return p.is_signed || h > 0.0 ? steps : 0.0;
  if (z < 0.0 && !(p.is_signed && h <= -threshold)) return 0.0;
  return std::max(-127.0, std::min(127.0, std::nearbyint(steps)));
}

// The states of `p` before the first token.
inline std::vector<double> rest(const NeuronParameters& p) {
  const auto v_reset = static_cast<double>(p.v_reset);
  switch (p.kind) {
    case NeuronKind::kIzhikevich: return {v_reset, p.own.izhikevich.w_rest};
    case NeuronKind::kAdaptiveLif:
    case NeuronKind::kCurrentLif: return {v_reset, 0.0};
    case NeuronKind::kSlidingPsn:
      return std::vector<double>(static_cast<std::size_t>(p.own.sliding.taps - 1), 0.0);
    default: return {v_reset};
  }
}

class NeuronModel {
 public:
  NeuronModel(const NeuronParameters& p, std::vector<double> learned)
      : p_(p),
        learned_(std::move(learned)),
        tau_(static_cast<double>(p.tau)),
        v_reset_(static_cast<double>(p.v_reset)),
        unit_(static_cast<double>(p.v_threshold) / std::max(1, p.payload_steps)) {}

  // Returns the charged potential; for sliding_psn relative to the threshold.
  double charge(std::vector<double>& state, double x) const {
    if (p_.kind == NeuronKind::kSlidingPsn) {
      double h = learned_.back() + learned_[state.size()] * x;
      for (std::size_t j = 0; j < state.size(); ++j) h += learned_[j] * state[j];
      state.push_back(x);
      state.erase(state.begin());
      return h + static_cast<double>(p_.v_threshold);
    }
    double& v = state[0];
    switch (p_.kind) {
      case NeuronKind::kLif:
      case NeuronKind::kAdaptiveLif: v = leaky(v, x, 1.0 / tau_); break;
      case NeuronKind::kParametricLif: v = leaky(v, x, sigmoid(learned_[0])); break;
      case NeuronKind::kIntegrateFire: v += x; break;
      case NeuronKind::kQif: {
        const QifSettings& q = p_.own.qif;
        v = bounded(v + (x + q.a0 * (v - q.v_rest) * (v - q.v_c)) / tau_);
        break;
      }
      case NeuronKind::kEif: {
        const EifSettings& e = p_.own.eif;
        v = bounded(v + (x - (v - e.v_rest) + e.delta_t * std::exp((v - e.theta_rh) / e.delta_t)) / tau_);
        break;
      }
      case NeuronKind::kIzhikevich: {
        const IzhikevichSettings& i = p_.own.izhikevich;
        v = bounded(v + (x + i.a0 * (v - i.v_rest) * (v - i.v_c) - state[1]) / tau_);
        state[1] += (i.a * (v - i.v_rest) - state[1]) / i.tau_w;
        break;
      }
      case NeuronKind::kKlif: v = std::max(0.0, learned_[0] * leaky(v, x, 1.0 / tau_)); break;
      case NeuronKind::kCurrentLif:
        state[1] = std::exp(-1.0 / p_.own.current.tau_s) * state[1] + x;
        v += (state[1] - (v - v_reset_)) / tau_;
        break;
      case NeuronKind::kSlidingPsn: break;
    }
    return v;
  }

  double threshold(const std::vector<double>& state) const {
    const auto base = static_cast<double>(p_.v_threshold);
    return p_.kind == NeuronKind::kAdaptiveLif ? base + p_.own.adaptive.beta * state[1] : base;
  }

  // It sent s; where the reset is detached from it, that counts as `detached`.
  void reset(std::vector<double>& state, double s, double detached, double at) const {
    if (p_.kind == NeuronKind::kSlidingPsn) return;
    double& v = state[0];
    const bool izhikevich = p_.kind == NeuronKind::kIzhikevich;
    const bool fixed = p_.payload_steps > 0;
    const double scale = p_.kind == NeuronKind::kKlif && p_.own.klif.scale_reset ? learned_[0] : 1.0;
    if (p_.hard_reset) {
      v = (1.0 - detached) * v / scale + (izhikevich ? s : detached) * v_reset_;
    } else {
      v = (v - detached * (fixed ? unit_ : at)) / scale;
    }
    if (izhikevich) state[1] += p_.own.izhikevich.b * s;
    if (p_.kind == NeuronKind::kAdaptiveLif) {
      const double amount = p_.is_signed ? std::abs(s) : s;
      state[1] = std::exp(-1.0 / p_.own.adaptive.tau_a) * state[1] +
                 amount * unit_ / static_cast<double>(p_.v_threshold);
    }
  }

 private:
  // Potentials that grow by themselves end there.
  static double bounded(double v) { return std::max(-1000.0, std::min(1000.0, v)); }
  double leaky(double v, double x, double leak) const {
    return p_.decay_input ? v + leak * (x - (v - v_reset_)) : v - leak * (v - v_reset_) + x;
  }

  const NeuronParameters& p_;
  std::vector<double> learned_;
  double tau_;
  double v_reset_;
  double unit_;
};

inline NeuronTrace run(const NeuronParameters& p, FireMode mode, const NeuronInput& in,
                       const Given& given = {}) {
  const NeuronModel model(p, in.learned);
  NeuronTrace trace;
  trace.state = in.state;
  for (std::size_t t = 0; t < in.x.size(); ++t) {
    const double h = model.charge(trace.state, in.x[t]);
    const double at = model.threshold(trace.state);
    trace.z.push_back(h - at);
    trace.threshold.push_back(at);
    const double s = given.sent != nullptr ? (*given.sent)[t] : sent(p, mode, h - at, at);
    trace.spike.push_back(s);
    if (given.z != nullptr && p.kind != NeuronKind::kSlidingPsn) trace.state[0] = (*given.z)[t] + at;
    model.reset(trace.state, s, given.detached != nullptr ? (*given.detached)[t] : s, at);
    trace.v.push_back(trace.state.empty() ? 0.0 : trace.state[0]);
  }
  return trace;
}

}  // namespace spikegpt::reference
