#include "spikegpt/core/random.h"

#include <cmath>
#include <numbers>

namespace spikegpt {

double RandomStream::next_normal() noexcept {
  const double u = 1.0 - next_uniform();  // in (0, 1], so that the logarithm is finite
  const double angle = 2.0 * std::numbers::pi * next_uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
}

}  // namespace spikegpt
