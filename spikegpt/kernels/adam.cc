#include "spikegpt/kernels/adam.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/adam.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"

#ifndef SPIKEGPT_KERNELS_ADAM_CONSTANTS
#define SPIKEGPT_KERNELS_ADAM_CONSTANTS
namespace spikegpt {

// The constants of a step, in the precision of the loop.
struct Constants {
  float beta1;
  float beta2;
  float eps;
  float rate;        // lr / (1 - beta1^step)
  float root_scale;  // 1 / sqrt(1 - beta2^step)
  float gradient_scale;
  float kept;  // 1 - lr * weight_decay
};

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

static void update_piece(const Piece& piece, const Constants& constants, const AdamVectors& vectors) {
  float* HWY_RESTRICT p = vectors.parameter + piece.first;
  const float* HWY_RESTRICT g = vectors.gradient + piece.first;
  float* HWY_RESTRICT m = vectors.first_moment + piece.first;
  float* HWY_RESTRICT v = vectors.second_moment + piece.first;
  const Constants k = constants;
  for (std::int64_t i = 0; i < piece.size; ++i) {
    const float gradient = g[i] * k.gradient_scale;
    m[i] = k.beta1 * m[i] + (1.0f - k.beta1) * gradient;
    v[i] = k.beta2 * v[i] + (1.0f - k.beta2) * gradient * gradient;
    p[i] = k.kept * p[i] - k.rate * m[i] / (std::sqrt(v[i]) * k.root_scale + k.eps);
  }
}

static void average_piece(const Piece& piece, float rate, const float* x, float* average) {
  const float* HWY_RESTRICT from = x + piece.first;
  float* HWY_RESTRICT to = average + piece.first;
  for (std::int64_t i = 0; i < piece.size; ++i) to[i] += rate * (from[i] - to[i]);
}

static double sum_of_squares(const Piece& piece, const float* x) {
  double sums[16] = {};
  const float* HWY_RESTRICT y = x + piece.first;
  const std::int64_t whole = piece.size / 16 * 16;
  for (std::int64_t i = 0; i < whole; i += 16) {
    for (std::int64_t j = 0; j < 16; ++j) {
      const double value = static_cast<double>(y[i + j]);
      sums[j] += value * value;
    }
  }
  for (std::int64_t i = whole; i < piece.size; ++i) {
    sums[i - whole] += static_cast<double>(y[i]) * static_cast<double>(y[i]);
  }
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {
HWY_EXPORT(update_piece);
HWY_EXPORT(average_piece);
HWY_EXPORT(sum_of_squares);
}  // namespace

void adam_update(std::int64_t n, const AdamStep& step, const AdamVectors& vectors) noexcept {
  const KernelTimer timer({.name = "Adam", .bytes = bytes_of<float>(n, 0, 7)});
  const auto steps = static_cast<double>(step.step);
  const Constants constants = {.beta1 = static_cast<float>(step.beta1),
                               .beta2 = static_cast<float>(step.beta2),
                               .eps = static_cast<float>(step.eps),
                               .rate = static_cast<float>(step.lr / (1.0 - std::pow(step.beta1, steps))),
                               .root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(step.beta2, steps))),
                               .gradient_scale = static_cast<float>(step.gradient_scale),
                               .kept = static_cast<float>(1.0 - step.lr * step.weight_decay)};
  parallel_for(piece_count(n), [&](std::int64_t task) {
    HWY_DYNAMIC_DISPATCH(update_piece)(piece_at(n, task), constants, vectors);
  });
}

void moving_average(std::int64_t n, double rate, const float* x, float* average) noexcept {
  const KernelTimer timer({.name = "moving average", .bytes = bytes_of<float>(n, 0, 3)});
  parallel_for(piece_count(n), [&](std::int64_t task) {
    HWY_DYNAMIC_DISPATCH(average_piece)(piece_at(n, task), static_cast<float>(rate), x, average);
  });
}

double squared_norm(std::int64_t n, const float* x, double* scratch) noexcept {
  const KernelTimer timer({.name = "norm of the gradient", .bytes = bytes_of<float>(n, 0, 1)});
  const std::int64_t tasks = piece_count(n);
  parallel_for(tasks,
               [&](std::int64_t task) { scratch[task] = HWY_DYNAMIC_DISPATCH(sum_of_squares)(piece_at(n, task), x); });
  double sum = 0.0;
  for (std::int64_t task = 0; task < tasks; ++task) sum += scratch[task];
  return sum;
}

std::int64_t squared_norm_scratch_size(std::int64_t n) noexcept { return piece_count(n); }

}  // namespace spikegpt
#endif
