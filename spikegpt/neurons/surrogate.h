// Surrogate gradients: what stands for the derivative of a spike (SPEC.md 1). Each kind has a primitive, a
// forward function whose true derivative is the surrogate. The kinds are those of SpikingJelly and a few more.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "spikegpt/core/inline.h"
#include "spikegpt/neurons/exponential.h"

namespace spikegpt {

enum class SurrogateKind : std::uint8_t {
  kAtan,                // arctangent (SpikeGPT)
  kSigmoid,             // derivative of the logistic function
  kPiecewiseQuadratic,  // triangle
  kPiecewiseExp,        // two-sided exponential
  kSoftSign,
  kErf,              // Gaussian, width given by alpha^2 z^2
  kGaussian,         // Gaussian density of standard deviation 1/alpha
  kStraightThrough,  // 1 everywhere
  kSuperSpike,       // alpha / (1 + |z|)^2; what SpikingJelly runs under this name is kAtan
  kNonzeroSignLogAbs,
  kPiecewiseLeakyRelu,       // 1 / (2 alpha) within alpha of the threshold, beta beyond
  kSquarewaveFourierSeries,  // of period alpha, beta - 1 terms (as SpikingJelly counts them)
  kS2nn,                     // logistic of steepness alpha below, beta / (1 + z) above
  kQPseudoSpike,
  kLeakyKRelu,             // alpha above, beta below
  kFakeNumericalGradient,  // 1 / |z|, at most alpha
  kLogTailedRelu,          // alpha below, 1 up to z = 1, 1 / z beyond
  kRect,                   // alpha within 1 / (2 alpha) of the threshold
};

struct Surrogate {
  SurrogateKind kind = SurrogateKind::kAtan;
  float alpha = 2.0f;  // steepness; each kind has its own meaning for it
  float beta = 1.0f;   // a second setting, of the kinds that say so above
};

// "atan", "sigmoid", ...; throws Error (kInvalidArgument) that lists the known names.
SurrogateKind surrogate_kind(std::string_view name);
std::string_view name_of(SurrogateKind kind);
std::string surrogate_names();
// Throws Error (kInvalidArgument) where alpha or beta is outside of what the kind allows.
void check_surrogate(const Surrogate& surrogate);
// Whether the kind reads beta.
bool uses_beta(SurrogateKind kind) noexcept;

namespace detail {
inline constexpr float kPi = 3.14159265358979323846f;
inline constexpr float kInverseSqrtPi = 0.56418958354775628695f;
}  // namespace detail

// Formulas in z = potential - threshold: `gradient(z)` and `primitive(z)`, one struct a kind.
struct AtanSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float scaled = 0.5f * detail::kPi * alpha * z;
    return 0.5f * alpha / (1.0f + scaled * scaled);
  }
  // gradient(a) + gradient(b) with one division, which is what the sum takes its time with.
  SPIKEGPT_INLINE float gradient_sum(float a, float b) const noexcept {
    const float width_a = width(a);
    const float width_b = width(b);
    return 0.5f * alpha * (width_a + width_b) / (width_a * width_b);
  }
  // Bounded, so that the product of two is finite.
  SPIKEGPT_INLINE float width(float z) const noexcept {
    constexpr float kMost = 1e18f;
    const float scaled = 0.5f * detail::kPi * alpha * z;
    const float square = scaled * scaled;
    return 1.0f + (square > kMost ? kMost : square);
  }
  float primitive(float z) const noexcept { return std::atan(0.5f * detail::kPi * alpha * z) / detail::kPi + 0.5f; }
};

struct SigmoidSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float s = sigmoid(alpha * z);
    return alpha * s * (1.0f - s);
  }
  float primitive(float z) const noexcept { return sigmoid(alpha * z); }
};

struct PiecewiseQuadraticSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float slope = alpha - alpha * alpha * std::fabs(z);
    return slope > 0.0f ? slope : 0.0f;
  }
  float primitive(float z) const noexcept {
    if (z * alpha >= 1.0f) return 1.0f;
    if (z * alpha <= -1.0f) return 0.0f;
    return -0.5f * alpha * alpha * z * std::fabs(z) + alpha * z + 0.5f;
  }
};

struct PiecewiseExpSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept { return 0.5f * alpha * fast_exp(-alpha * std::fabs(z)); }
  float primitive(float z) const noexcept {
    const float tail = 0.5f * fast_exp(-alpha * std::fabs(z));
    return z < 0.0f ? tail : 1.0f - tail;
  }
};

struct SoftSignSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float denominator = 1.0f / alpha + std::fabs(z);
    return 0.5f / alpha / (denominator * denominator);
  }
  float primitive(float z) const noexcept { return 0.5f * (alpha * z / (1.0f + std::fabs(alpha * z)) + 1.0f); }
};

struct ErfSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    return alpha * detail::kInverseSqrtPi * fast_exp(-(alpha * z) * (alpha * z));
  }
  float primitive(float z) const noexcept { return 0.5f * std::erfc(-alpha * z); }
};

struct GaussianSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float scaled = alpha * z;
    return alpha * 0.70710678118654752440f * detail::kInverseSqrtPi * fast_exp(-0.5f * scaled * scaled);
  }
  float primitive(float z) const noexcept { return 0.5f * std::erfc(-0.70710678118654752440f * alpha * z); }
};

struct StraightThroughSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float) const noexcept { return 1.0f; }
  float primitive(float z) const noexcept { return z; }
};

// Zenke and Ganguli 2018.
struct SuperSpikeSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float width = 1.0f + std::fabs(z);
    return alpha / (width * width);
  }
  float primitive(float z) const noexcept { return 0.5f + alpha * (z / (1.0f + std::fabs(z))); }
};

struct NonzeroSignLogAbsSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept { return alpha / (1.0f + alpha * std::fabs(z)); }
  float primitive(float z) const noexcept { return std::copysign(std::log1p(alpha * std::fabs(z)), z); }
};

// A rise from 0 to 1 within `width` of the threshold, another slope beyond.
struct PiecewiseLeakyReluSurrogate {
  float width;
  float slope;
  SPIKEGPT_INLINE float gradient(float z) const noexcept { return std::fabs(z) <= width ? 0.5f / width : slope; }
  float primitive(float z) const noexcept {
    const float inside = std::fabs(z) < width ? z : std::copysign(width, z);
    return 0.5f + 0.5f * inside / width + slope * (z - inside);
  }
};

// The first terms of the Fourier series of a square wave.
struct SquarewaveFourierSeriesSurrogate {
  float period;
  int terms;
  // Reduced to one period first: the sine and cosine of a turn are polynomials of the distance to the nearest crest.
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    float sum = 0.0f;
    for (int i = 0; i < terms; ++i) {
      sum += cosine_of_turns(static_cast<float>(2 * i + 1) * (z / period));
    }
    return 4.0f / period * sum;
  }
  float primitive(float z) const noexcept {
    float sum = 0.0f;
    for (int i = 0; i < terms; ++i) {
      const auto k = static_cast<float>(2 * i + 1);
      sum += std::sin(2.0f * detail::kPi * k * z / period) / k;
    }
    return 0.5f + 2.0f / detail::kPi * sum;
  }
  // cos(2 pi x), error below 1e-6; 0 where x is not finite.
  SPIKEGPT_INLINE static float cosine_of_turns(float x) noexcept {
    constexpr float kRoundToInteger = 12582912.0f;
    const float bounded = x > -4e6f ? (x < 4e6f ? x : 4e6f) : -4e6f;
    const float turn = bounded - ((bounded + kRoundToInteger) - kRoundToInteger);  // within half a turn
    const float from_zero = 0.25f - std::fabs(turn);                               // cos = sin of it, within a quarter
    const float a = 2.0f * detail::kPi * from_zero;
    const float square = a * a;
    float polynomial = -2.50521084e-8f;
    polynomial = polynomial * square + 2.75573192e-6f;
    polynomial = polynomial * square - 1.98412698e-4f;
    polynomial = polynomial * square + 8.33333333e-3f;
    polynomial = polynomial * square - 1.66666667e-1f;
    return a + a * (square * polynomial);
  }
};

// Suetake et al. 2022.
struct S2nnSurrogate {
  float alpha;
  float beta;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float s = sigmoid(alpha * (z < 0.0f ? z : 0.0f));
    const float above = beta / (1.0f + (z < 0.0f ? 0.0f : z));
    return z < 0.0f ? alpha * s * (1.0f - s) : above;
  }
  float primitive(float z) const noexcept { return z < 0.0f ? sigmoid(alpha * z) : beta * std::log1p(z) + 0.5f; }
};

// Herranz-Celotti and Rouat 2022: a tail of power alpha > 1.
struct QPseudoSpikeSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    return fast_exp(-alpha * fast_log(1.0f + 2.0f / (alpha - 1.0f) * std::fabs(z)));
  }
  float primitive(float z) const noexcept {
    const float tail = 0.5f * std::pow(1.0f + 2.0f / (alpha - 1.0f) * std::fabs(z), 1.0f - alpha);
    return z < 0.0f ? tail : 1.0f - tail;
  }
};

struct LeakyKReluSurrogate {
  float above;
  float below;
  SPIKEGPT_INLINE float gradient(float z) const noexcept { return z >= 0.0f ? above : below; }
  float primitive(float z) const noexcept { return z >= 0.0f ? above * z : below * z; }
};

// The slope of a chord of the spike, as if (sign(z) - 0) / z were its derivative.
struct FakeNumericalGradientSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float chord = 1.0f / std::fabs(z);
    return chord < alpha ? chord : alpha;
  }
  float primitive(float z) const noexcept {
    const float scaled = alpha * std::fabs(z);
    return 0.5f + std::copysign(scaled < 1.0f ? scaled : 1.0f + std::log(scaled), z);
  }
};

// Cai et al. 2017.
struct LogTailedReluSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept {
    const float tail = 1.0f / (z > 1.0f ? z : 1.0f);
    return z > 0.0f ? tail : alpha;
  }
  float primitive(float z) const noexcept {
    if (z <= 0.0f) return alpha * z;
    return z <= 1.0f ? z : 1.0f + std::log(z);
  }
};

struct RectSurrogate {
  float alpha;
  SPIKEGPT_INLINE float gradient(float z) const noexcept { return std::fabs(z) < 0.5f / alpha ? alpha : 0.0f; }
  float primitive(float z) const noexcept {
    const float rise = 0.5f + alpha * z;
    return rise < 0.0f ? 0.0f : (rise < 1.0f ? rise : 1.0f);
  }
};

// gradient(a) + gradient(b).
template <class Formulas>
SPIKEGPT_INLINE float gradient_sum(const Formulas& formulas, float a, float b) noexcept {
  if constexpr (requires { formulas.gradient_sum(a, b); }) return formulas.gradient_sum(a, b);
  return formulas.gradient(a) + formulas.gradient(b);
}

// Calls function(XSurrogate) with the formulas of the kind.
template <class Function>
SPIKEGPT_INLINE void with_surrogate(const Surrogate& surrogate, Function&& function) {
  const float alpha = surrogate.alpha;
  const float beta = surrogate.beta;
  switch (surrogate.kind) {
    case SurrogateKind::kAtan: return function(AtanSurrogate{alpha});
    case SurrogateKind::kSigmoid: return function(SigmoidSurrogate{alpha});
    case SurrogateKind::kPiecewiseQuadratic: return function(PiecewiseQuadraticSurrogate{alpha});
    case SurrogateKind::kPiecewiseExp: return function(PiecewiseExpSurrogate{alpha});
    case SurrogateKind::kSoftSign: return function(SoftSignSurrogate{alpha});
    case SurrogateKind::kErf: return function(ErfSurrogate{alpha});
    case SurrogateKind::kGaussian: return function(GaussianSurrogate{alpha});
    case SurrogateKind::kStraightThrough: return function(StraightThroughSurrogate{alpha});
    case SurrogateKind::kSuperSpike: return function(SuperSpikeSurrogate{alpha});
    case SurrogateKind::kNonzeroSignLogAbs: return function(NonzeroSignLogAbsSurrogate{alpha});
    case SurrogateKind::kPiecewiseLeakyRelu: return function(PiecewiseLeakyReluSurrogate{alpha, beta});
    case SurrogateKind::kSquarewaveFourierSeries:
      return function(SquarewaveFourierSeriesSurrogate{alpha, static_cast<int>(beta) - 1});
    case SurrogateKind::kS2nn: return function(S2nnSurrogate{alpha, beta});
    case SurrogateKind::kQPseudoSpike: return function(QPseudoSpikeSurrogate{alpha});
    case SurrogateKind::kLeakyKRelu: return function(LeakyKReluSurrogate{alpha, beta});
    case SurrogateKind::kFakeNumericalGradient: return function(FakeNumericalGradientSurrogate{alpha});
    case SurrogateKind::kLogTailedRelu: return function(LogTailedReluSurrogate{alpha});
    case SurrogateKind::kRect: return function(RectSurrogate{alpha});
  }
}

}  // namespace spikegpt
