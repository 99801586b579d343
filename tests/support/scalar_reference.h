// The scans as SPEC.md writes them: one neuron or channel at a time, plain loops, no running
// maximum. Slow and obvious on purpose, and without a formula of the engine, so that it can be held
// against the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <type_traits>
#include <vector>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/neurons/lif.h"

namespace spikegpt::reference {

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct SurrogateValue {
  double primitive;
  double gradient;
};

// Those that SpikingJelly has beside them: their primitives do not all lie between 0 and 1.
inline SurrogateValue further_surrogate(const Surrogate& which, double z) {
  const double alpha = static_cast<double>(which.alpha);
  const double beta = static_cast<double>(which.beta);
  const double far = std::abs(z);
  const double sign = z < 0.0 ? -1.0 : 1.0;
  switch (which.kind) {
    case SurrogateKind::kSuperSpike: return {0.5 + alpha * z / (1.0 + far), alpha / ((1.0 + far) * (1.0 + far))};
    case SurrogateKind::kNonzeroSignLogAbs: return {sign * std::log(1.0 + alpha * far), 1.0 / (1.0 / alpha + far)};
    case SurrogateKind::kPiecewiseLeakyRelu:
      if (far <= alpha) return {0.5 + z / (2.0 * alpha), 1.0 / (2.0 * alpha)};
      return {0.5 + sign * (0.5 + beta * (far - alpha)), beta};
    case SurrogateKind::kSquarewaveFourierSeries: {
      SurrogateValue value{0.5, 0.0};
      for (int i = 1; i < static_cast<int>(beta); ++i) {
        const double turn = 2.0 * std::numbers::pi * (2 * i - 1) / alpha;
        value.primitive += 2.0 / std::numbers::pi * std::sin(turn * z) / (2 * i - 1);
        value.gradient += 4.0 / alpha * std::cos(turn * z);
      }
      return value;
    }
    case SurrogateKind::kS2nn:
      if (z < 0.0) return {sigmoid(alpha * z), alpha * sigmoid(alpha * z) * sigmoid(-alpha * z)};
      return {beta * std::log(z + 1.0) + 0.5, beta / (z + 1.0)};
    case SurrogateKind::kQPseudoSpike: {
      const double base = 1.0 + 2.0 * far / (alpha - 1.0);
      return {0.5 + sign * 0.5 * (1.0 - std::pow(base, 1.0 - alpha)), std::pow(base, -alpha)};
    }
    case SurrogateKind::kLeakyKRelu:
      return z >= 0.0 ? SurrogateValue{alpha * z, alpha} : SurrogateValue{beta * z, beta};
    case SurrogateKind::kFakeNumericalGradient:
      if (alpha * far < 1.0) return {0.5 + alpha * z, alpha};
      return {0.5 + sign * (1.0 + std::log(alpha * far)), 1.0 / far};
    case SurrogateKind::kLogTailedRelu:
      if (z <= 0.0) return {alpha * z, alpha};
      return z <= 1.0 ? SurrogateValue{z, 1.0} : SurrogateValue{1.0 + std::log(z), 1.0 / z};
    case SurrogateKind::kRect: return {std::clamp(0.5 + alpha * z, 0.0, 1.0), far < 0.5 / alpha ? alpha : 0.0};
    default: return {NAN, NAN};
  }
}

// The surrogates of SPEC.md 1 in z = potential - threshold.
inline SurrogateValue surrogate(const Surrogate& which, double z) {
  const double alpha = static_cast<double>(which.alpha);
  const double a = alpha * z;
  switch (which.kind) {
    case SurrogateKind::kAtan: {
      const double u = std::numbers::pi / 2.0 * a;
      return {std::atan(u) / std::numbers::pi + 0.5, alpha / 2.0 / (1.0 + u * u)};
    }
    case SurrogateKind::kSigmoid: return {sigmoid(a), alpha * sigmoid(a) * sigmoid(-a)};
    case SurrogateKind::kPiecewiseQuadratic:
      if (std::abs(a) > 1.0) return {a > 0.0 ? 1.0 : 0.0, 0.0};
      return {0.5 + a - std::copysign(a * a / 2.0, a), alpha * (1.0 - std::abs(a))};
    case SurrogateKind::kPiecewiseExp:
      return {a < 0.0 ? std::exp(a) / 2.0 : 1.0 - std::exp(-a) / 2.0, alpha / 2.0 * std::exp(-std::abs(a))};
    case SurrogateKind::kSoftSign:
      return {(a / (1.0 + std::abs(a)) + 1.0) / 2.0, alpha / (2.0 * (1.0 + std::abs(a)) * (1.0 + std::abs(a)))};
    case SurrogateKind::kErf: return {std::erfc(-a) / 2.0, alpha / std::sqrt(std::numbers::pi) * std::exp(-a * a)};
    case SurrogateKind::kGaussian:
      return {std::erfc(-a / std::numbers::sqrt2) / 2.0,
              alpha / std::sqrt(2.0 * std::numbers::pi) * std::exp(-a * a / 2.0)};
    case SurrogateKind::kStraightThrough: return {z, 1.0};
    default: return further_surrogate(which, z);
  }
  return {NAN, NAN};
}

// What a neuron sends whose potential is z above its threshold: step(z), and for a graded neuron the steps of its
// further thresholds. `sign` of the negative ones is -1, or 1 for the derivative.
template <class Real, class Step>
Real sum_of_steps(const LifParameters& p, Real z, Real sign, const Step& step) {
  const Real threshold = static_cast<Real>(p.v_threshold);
  Real sum{};
  for (int k = 1; k <= p.levels; ++k) {
    sum += step(z - static_cast<Real>(k - 1) * threshold);
    if (p.is_signed) sum += sign * step(-z - static_cast<Real>(k + 1) * threshold);
  }
  return sum;
}

// One neuron over time.
template <class Real>
struct LifTrace {
  std::vector<Real> h;  // charged potential
  std::vector<Real> s;
  Real membrane{};  // after the last token
};

// SPEC.md 1 in the precision Real. `reset_spikes`, where given, are what the reset uses instead of
// its own spikes: that is what a detached reset is constant in. `leak`, where given, takes the place of 1 / tau. Where
// distances are kept as Bf16, the kept one decides on a spike.
template <class Real, class Kept = float>
LifTrace<Real> lif_forward(const LifParameters& p, FireMode mode, std::span<const Real> x, Real membrane,
                           const std::vector<Real>* reset_spikes = nullptr, const Real* leak = nullptr) {
  const Real tau = static_cast<Real>(p.tau);
  const Real v_threshold = static_cast<Real>(p.v_threshold);
  const Real v_reset = static_cast<Real>(p.v_reset);
  LifTrace<Real> trace;
  Real v = membrane;
  for (std::size_t t = 0; t < x.size(); ++t) {
    const auto decayed = [&](Real potential) { return leak != nullptr ? potential * *leak : potential / tau; };
    const Real h = p.decay_input ? v + decayed(x[t] - (v - v_reset)) : v - decayed(v - v_reset) + x[t];
    Real distance = h - v_threshold;
    if (std::is_same_v<Kept, Bf16> && mode == FireMode::kSpike)
      distance = static_cast<Real>(to_float(to_bf16(static_cast<float>(distance))));
    const Real s = sum_of_steps(p, distance, Real{-1}, [&](Real z) {
      if (mode == FireMode::kSpike) return z >= Real{0} ? Real{1} : Real{0};
      return static_cast<Real>(surrogate(p.surrogate, static_cast<double>(z)).primitive);
    });
    trace.h.push_back(h);
    trace.s.push_back(s);
    const Real reset_by = reset_spikes != nullptr ? (*reset_spikes)[t] : s;
    v = p.hard_reset ? reset_by * v_reset + (Real{1} - reset_by) * h : h - reset_by * v_threshold;
  }
  trace.membrane = v;
  return trace;
}

struct LifGradient {
  std::vector<double> d_x;
  double d_membrane_in = 0.0;
};

// The backward equations of SPEC.md 1; d_membrane_out is the gradient of the last membrane.
inline LifGradient lif_backward(const LifParameters& p, const LifTrace<double>& trace, std::span<const double> d_spikes,
                                double d_membrane_out) {
  const double tau = static_cast<double>(p.tau);
  const double v_threshold = static_cast<double>(p.v_threshold);
  const double v_reset = static_cast<double>(p.v_reset);
  LifGradient gradient;
  gradient.d_x.resize(trace.h.size());
  double dv = d_membrane_out;
  for (std::size_t t = trace.h.size(); t-- > 0;) {
    const double h = trace.h[t];
    const double g =
        sum_of_steps(p, h - v_threshold, 1.0, [&](double z) { return surrogate(p.surrogate, z).gradient; });
    double dv_dh = p.hard_reset ? 1.0 - trace.s[t] : 1.0;
    if (!p.detach_reset) dv_dh += (p.hard_reset ? v_reset - h : -v_threshold) * g;
    const double dh = d_spikes[t] * g + dv * dv_dh;
    gradient.d_x[t] = p.decay_input ? dh / tau : dh;
    dv = dh * (1.0 - 1.0 / tau);
  }
  gradient.d_membrane_in = dv;
  return gradient;
}

// One channel of attention with all it reads.
struct WkvChannel {
  double time_decay = 0.0;
  double time_first = 0.0;
  std::vector<double> receptance;
  std::vector<double> key;
  std::vector<double> value;
  double numerator = 0.0;  // what earlier tokens left, scaled by e^-max_exponent
  double denominator = 0.0;
  double max_exponent = -1e38;

  std::size_t tokens() const { return key.size(); }
  double rate() const { return std::exp(time_decay); }
  // Exponent of the weight of token i, and of the carried state, in the sums after `t` tokens.
  double exponent(std::size_t i, std::size_t t) const { return key[i] - static_cast<double>(t - 1 - i) * rate(); }
  double state_exponent(std::size_t t) const { return max_exponent - static_cast<double>(t) * rate(); }
};

struct WkvTrace {
  std::vector<double> wkv;
  std::vector<double> output;
  double numerator = 0.0;  // after the last token, scaled by e^-max_exponent
  double denominator = 0.0;
  double max_exponent = 0.0;
};

inline double last_exponent(const WkvChannel& c) {
  double largest = c.state_exponent(c.tokens());
  for (std::size_t i = 0; i < c.tokens(); ++i) largest = std::max(largest, c.exponent(i, c.tokens()));
  return largest;
}

// The sums of SPEC.md 4 taken literally. The last state is scaled by `out_exponent`.
inline WkvTrace wkv_forward(const WkvChannel& c, double out_exponent) {
  WkvTrace trace;
  const auto sums = [&](std::size_t t, double scale, double& numerator, double& denominator) {
    const double from_state = std::exp(c.state_exponent(t) - scale);
    numerator = from_state * c.numerator;
    denominator = from_state * c.denominator;
    for (std::size_t i = 0; i < t; ++i) {
      numerator += std::exp(c.exponent(i, t) - scale) * c.value[i];
      denominator += std::exp(c.exponent(i, t) - scale);
    }
  };
  for (std::size_t t = 0; t < c.tokens(); ++t) {
    double numerator = 0.0;
    double denominator = 0.0;
    sums(t, 0.0, numerator, denominator);
    const double now = std::exp(c.time_first + c.key[t]);
    trace.wkv.push_back((numerator + now * c.value[t]) / (denominator + now));
    trace.output.push_back(sigmoid(c.receptance[t]) * trace.wkv.back());
  }
  trace.max_exponent = out_exponent;
  sums(c.tokens(), out_exponent, trace.numerator, trace.denominator);
  return trace;
}

struct WkvGradient {
  double d_time_decay = 0.0;
  double d_time_first = 0.0;
  std::vector<double> d_receptance;
  std::vector<double> d_key;
  std::vector<double> d_value;
  double d_numerator = 0.0;  // of the carried state
  double d_denominator = 0.0;
};

namespace detail {

// Adds the gradient of f = sum over the tokens before t of e^(exponent - scale) (d_numerator v +
// d_denominator), carried state included.
inline void add_past(const WkvChannel& c, std::size_t t, double scale, double d_numerator, double d_denominator,
                     WkvGradient& gradient) {
  const double from_state = std::exp(c.state_exponent(t) - scale);
  gradient.d_numerator += from_state * d_numerator;
  gradient.d_denominator += from_state * d_denominator;
  double d_rate = -static_cast<double>(t) * from_state * (d_numerator * c.numerator + d_denominator * c.denominator);
  for (std::size_t i = 0; i < t; ++i) {
    const double weight = std::exp(c.exponent(i, t) - scale);
    const double d_exponent = weight * (d_numerator * c.value[i] + d_denominator);
    gradient.d_value[i] += weight * d_numerator;
    gradient.d_key[i] += d_exponent;
    d_rate -= static_cast<double>(t - 1 - i) * d_exponent;
  }
  gradient.d_time_decay += d_rate * c.rate();
}

}  // namespace detail

// Gradient of sum(output * d_output) + numerator * d_numerator + denominator * d_denominator, the
// last two those of the last state; max_exponent is held fixed going in and coming out.
inline WkvGradient wkv_backward(const WkvChannel& c, const WkvTrace& trace, std::span<const double> d_output,
                                double d_numerator, double d_denominator) {
  WkvGradient gradient;
  gradient.d_receptance.resize(c.tokens());
  gradient.d_key.resize(c.tokens());
  gradient.d_value.resize(c.tokens());
  for (std::size_t t = 0; t < c.tokens(); ++t) {
    const double wkv = trace.wkv[t];
    const double gate = sigmoid(c.receptance[t]);
    gradient.d_receptance[t] = d_output[t] * wkv * gate * sigmoid(-c.receptance[t]);
    // The denominator, through the definition of wkv: sum of all weights.
    const double now = std::exp(c.time_first + c.key[t]);
    double denominator = now + std::exp(c.state_exponent(t)) * c.denominator;
    for (std::size_t i = 0; i < t; ++i) denominator += std::exp(c.exponent(i, t));
    const double d_upper = d_output[t] * gate / denominator;
    const double d_now = now * d_upper * (c.value[t] - wkv);
    gradient.d_value[t] += now * d_upper;
    gradient.d_key[t] += d_now;
    gradient.d_time_first += d_now;
    detail::add_past(c, t, 0.0, d_upper, -d_upper * wkv, gradient);
  }
  detail::add_past(c, c.tokens(), trace.max_exponent, d_numerator, d_denominator, gradient);
  return gradient;
}

}  // namespace spikegpt::reference
