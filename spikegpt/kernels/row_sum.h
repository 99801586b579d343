// Sums over a row with a fixed order of additions: sixteen running sums, then a tree. The compiler may put the
// sixteen in one vector, two or four; the result is the same, bit for bit.
#pragma once

#include <cstdint>

#include "spikegpt/core/inline.h"

namespace spikegpt {

template <class Term>
SPIKEGPT_INLINE float row_sum(std::int64_t n, const Term& term) noexcept {
  constexpr std::int64_t kSums = 16;
  alignas(64) float sums[kSums] = {};
  const std::int64_t whole = n / kSums * kSums;
  for (std::int64_t i = 0; i < whole; i += kSums) {
    for (std::int64_t j = 0; j < kSums; ++j) sums[j] += term(i + j);
  }
  for (std::int64_t i = whole; i < n; ++i) sums[i - whole] += term(i);
  for (std::int64_t width = kSums / 2; width > 0; width /= 2) {
    for (std::int64_t j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

}  // namespace spikegpt
