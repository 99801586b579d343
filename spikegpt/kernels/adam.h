// The Adam update and the norm of a gradient, over one flat vector of all parameters (SPEC.md 9).
#pragma once

#include <cstdint>

namespace spikegpt {

struct AdamStep {
  double lr = 6e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 4e-9;          // added to the root of the corrected second moment
  std::int64_t step = 1;      // 1 for the first update; corrects the moments' start at zero
  double gradient_scale = 1;  // multiplies the gradient first: norm clipping
  double weight_decay = 0;    // decoupled: takes lr * weight_decay of the parameter itself
};

struct AdamVectors {
  float* parameter = nullptr;
  const float* gradient = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
};

void adam_update(std::int64_t n, const AdamStep& step, const AdamVectors& vectors) noexcept;

// average += rate * (x - average), element by element.
void moving_average(std::int64_t n, double rate, const float* x, float* average) noexcept;

// Sum of squares, added in double over fixed pieces. `scratch` holds squared_norm_scratch_size(n) doubles.
double squared_norm(std::int64_t n, const float* x, double* scratch) noexcept;
std::int64_t squared_norm_scratch_size(std::int64_t n) noexcept;

}  // namespace spikegpt
