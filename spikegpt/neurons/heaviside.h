// The one place that makes a spike.
#pragma once

#include <cstdint>

#include "spikegpt/core/inline.h"

namespace spikegpt {

// 1 at and above zero, 0 below. SPEC.md 1, "fire"; SPEC.md 2.
SPIKEGPT_INLINE float heaviside(float distance) noexcept { return distance >= 0.0f ? 1.0f : 0.0f; }

// How many of the thresholds m * spacing, m in [first, last], x has reached: the sum of heaviside(x - m * spacing) to
// the bit, by looking at two of them. `first` is not negative; `inverse` is 1 / spacing and finite.
SPIKEGPT_INLINE float thresholds_reached(float x, float spacing, float inverse, float first, float last) noexcept {
  const float scaled = x * inverse;
  const float bounded = scaled > first ? (scaled < last ? scaled : last) : first;
  // Rounding may have moved it by one: all below it are reached, it and the next may be.
  const auto nearest = static_cast<float>(static_cast<std::int32_t>(bounded));
  const float next = heaviside(x - (nearest + 1.0f) * spacing);
  return (nearest - first) + heaviside(x - nearest * spacing) + (nearest < last ? next : 0.0f);
}

// x as a whole number, to the nearest even one, of at most kMostPayload: what fits eight bits with a sign.
inline constexpr int kMostPayload = 127;
SPIKEGPT_INLINE float payload_of(float x) noexcept {
  constexpr auto kMost = static_cast<float>(kMostPayload);
  constexpr float kRoundToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float bounded = x < -kMost ? -kMost : (x < kMost ? x : kMost);
  return (bounded + kRoundToInteger) - kRoundToInteger;
}

}  // namespace spikegpt
