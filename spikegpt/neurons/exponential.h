// exp and the logistic function as plain float formulas: they vectorise on every instruction set and
// give the same bits on each, which a library call does not.
#pragma once

#include <bit>
#include <cstdint>

#include "spikegpt/core/inline.h"

namespace spikegpt {

namespace detail {
// e^x for -87.3 <= x <= 88.37.
// Cody and Waite: x = n ln 2 + r with |r| <= ln(2)/2, then e^r as a polynomial and 2^n in the exponent bits.
SPIKEGPT_INLINE float exp_within(float x) noexcept {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRoundToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * kLog2E + kRoundToInteger;
  const float n = shifted - kRoundToInteger;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  // Minimax coefficients of (e^r - 1 - r) / r^2.
  float polynomial = 1.9875691500e-4f;
  polynomial = polynomial * r + 1.3981999507e-3f;
  polynomial = polynomial * r + 8.3334519073e-3f;
  polynomial = polynomial * r + 4.1665795894e-2f;
  polynomial = polynomial * r + 1.6666665459e-1f;
  polynomial = polynomial * r + 5.0000001201e-1f;
  const float power = polynomial * (r * r) + r + 1.0f;
  const auto exponent = static_cast<std::uint32_t>(std::bit_cast<std::int32_t>(shifted)) << 23;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(power) + exponent);
}
}  // namespace detail

// e^x. Relative error below 2e-7 (tests/neurons/exponential_test.cc); 0 below -87.3, infinity above 88.37.
SPIKEGPT_INLINE float fast_exp(float x) noexcept {
  const float bounded = x < -87.3f ? -87.3f : (x > 88.37f ? 88.37f : x);
  const float scaled = detail::exp_within(bounded);
  const float capped = x > 88.37f ? std::bit_cast<float>(0x7f800000u) : scaled;
  const float result = x < -87.3f ? 0.0f : capped;
  return x != x ? x : result;
}

// e^x for x within -87.3 and 88.37, and what it is there for others: fast_exp without infinity, zero and NaN.
SPIKEGPT_INLINE float bounded_exp(float x) noexcept {
  const float bounded = x < -87.3f ? -87.3f : (x > 88.37f ? 88.37f : x);
  return detail::exp_within(bounded);
}

// ln x for x > 0. Relative error of a few 1e-7; what x it was is lost below 1e-37. Splits off the exponent, then
// ln((1 + r) / (1 - r)) as a series in r, |r| <= 0.172.
SPIKEGPT_INLINE float fast_log(float x) noexcept {
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  const auto bits = std::bit_cast<std::uint32_t>(x) - 0x3f3504f3u;  // exponent 0 from sqrt(1/2) on
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float mantissa = std::bit_cast<float>((bits & 0x007fffffu) + 0x3f3504f3u);
  const float r = (mantissa - 1.0f) / (mantissa + 1.0f);
  const float square = r * r;
  float series = 2.0f / 9.0f;
  series = series * square + 2.0f / 7.0f;
  series = series * square + 2.0f / 5.0f;
  series = series * square + 2.0f / 3.0f;
  return exponent * kLn2High + (exponent * kLn2Low + (r * square * series + 2.0f * r));
}

// 1 / (1 + e^-x).
SPIKEGPT_INLINE float sigmoid(float x) noexcept { return 1.0f / (1.0f + fast_exp(-x)); }

}  // namespace spikegpt
