// Numerical derivatives, to check formulas of derivatives.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace spikegpt::test {

// d f / d x for a function of one double; the error is of the fourth order in `step`.
template <class Function>
double finite_difference(const Function& f, double x, double step = 1e-5) {
  const double near = f(x + step) - f(x - step);
  const double far = f(x + 2.0 * step) - f(x - 2.0 * step);
  return (8.0 * near - far) / (12.0 * step);
}

// d f() / d values[i] for every i, where f reads `values`; they are put back.
template <class Function>
std::vector<double> finite_differences(std::span<double> values, const Function& f, double step = 1e-5) {
  std::vector<double> gradient;
  for (double& value : values) {
    const double start = value;
    gradient.push_back(finite_difference(
        [&](double moved) {
          value = moved;
          return f();
        },
        start, step));
    value = start;
  }
  return gradient;
}

}  // namespace spikegpt::test
