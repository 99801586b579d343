// Arithmetic, counted.
#pragma once

#include <cstdint>

namespace spikegpt {

// Counts. Comparisons count as additions.
struct Operations {
  std::int64_t macs = 0;         // multiply and add
  std::int64_t accumulates = 0;  // additions and subtractions alone
  std::int64_t multiplies = 0;   // alone
  std::int64_t exponentials = 0;
  std::int64_t divisions = 0;  // and roots

  Operations& operator+=(const Operations& other) noexcept {
    macs += other.macs;
    accumulates += other.accumulates;
    multiplies += other.multiplies;
    exponentials += other.exponentials;
    divisions += other.divisions;
    return *this;
  }
  bool operator==(const Operations&) const = default;
};

inline Operations operator*(std::int64_t times, const Operations& o) noexcept {
  return {times * o.macs, times * o.accumulates, times * o.multiplies, times * o.exponentials, times * o.divisions};
}

}  // namespace spikegpt
