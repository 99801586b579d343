// Surrogate gradients: what stands for the derivative of a spike (SPEC.md 1). Each kind has a primitive, a
// smooth forward function whose true derivative is the surrogate.
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
};

struct Surrogate {
  SurrogateKind kind = SurrogateKind::kAtan;
  float alpha = 2.0f;  // steepness; each kind has its own meaning for it
};

// "atan", "sigmoid", ...; throws Error (kInvalidArgument) that lists the known names.
SurrogateKind surrogate_kind(std::string_view name);
std::string_view name_of(SurrogateKind kind);
std::string surrogate_names();

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
  switch (surrogate.kind) {
    case SurrogateKind::kAtan: return function(AtanSurrogate{alpha});
    case SurrogateKind::kSigmoid: return function(SigmoidSurrogate{alpha});
    case SurrogateKind::kPiecewiseQuadratic: return function(PiecewiseQuadraticSurrogate{alpha});
    case SurrogateKind::kPiecewiseExp: return function(PiecewiseExpSurrogate{alpha});
    case SurrogateKind::kSoftSign: return function(SoftSignSurrogate{alpha});
    case SurrogateKind::kErf: return function(ErfSurrogate{alpha});
    case SurrogateKind::kGaussian: return function(GaussianSurrogate{alpha});
    case SurrogateKind::kStraightThrough: return function(StraightThroughSurrogate{alpha});
  }
}

}  // namespace spikegpt
