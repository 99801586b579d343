// Whether floats are numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace spikegpt {

// Index of the first value that is NaN or infinite; values.size() if there is none.
inline std::size_t first_non_finite(std::span<const float> values) noexcept {
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return static_cast<std::size_t>(bad - values.begin());
}

inline bool all_finite(std::span<const float> values) noexcept { return first_non_finite(values) == values.size(); }

}  // namespace spikegpt
