#include "spikegpt/kernels/layer_norm.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/layer_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/row_sum.h"
#include "spikegpt/kernels/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

template <class A, class X>
SPIKEGPT_INLINE void forward_rows(const Piece& rows, std::int64_t channels, const LayerNormForward<A, X>& norm) {
  const float scale = 1.0f / static_cast<float>(channels);
  for (std::int64_t i = rows.first; i < rows.first + rows.size; ++i) {
    const X* HWY_RESTRICT x = norm.x + i * channels;
    A* HWY_RESTRICT y = norm.y + i * channels;
    const float mean = row_sum(channels, [=](std::int64_t c) { return to_float(x[c]); }) * scale;
    const float variance =
        row_sum(channels, [=](std::int64_t c) { return (to_float(x[c]) - mean) * (to_float(x[c]) - mean); }) * scale;
    const float inverse_std = 1.0f / std::sqrt(variance + kLayerNormEpsilon);
    for (std::int64_t c = 0; c < channels; ++c) {
      y[c] = from_float<A>((to_float(x[c]) - mean) * inverse_std * norm.weight[c] + norm.bias[c]);
    }
    if (norm.mean != nullptr) norm.mean[i] = mean;
    if (norm.inverse_std != nullptr) norm.inverse_std[i] = inverse_std;
  }
}

// d_weight and d_bias of these rows go to parts[0..C) and parts[C..2C).
template <class A, class X>
SPIKEGPT_INLINE void backward_rows(const Piece& rows, std::int64_t channels, const LayerNormBackward<A, X>& norm,
                                   float* HWY_RESTRICT parts) {
  const float scale = 1.0f / static_cast<float>(channels);
  float* HWY_RESTRICT d_weight = parts;
  float* HWY_RESTRICT d_bias = parts + channels;
  const float* HWY_RESTRICT weight = norm.weight;
  for (std::int64_t c = 0; c < 2 * channels; ++c) parts[c] = 0.0f;
  for (std::int64_t i = rows.first; i < rows.first + rows.size; ++i) {
    const X* HWY_RESTRICT x = norm.x + i * channels;
    const A* d_y = norm.d_y + i * channels;
    X* d_x = norm.d_x + i * channels;
    const float mean = norm.mean[i];
    const float inverse_std = norm.inverse_std[i];
    const float mean_d = scale * row_sum(channels, [=](std::int64_t c) { return to_float(d_y[c]) * weight[c]; });
    const float mean_dx = scale * row_sum(channels, [=](std::int64_t c) {
                            return to_float(d_y[c]) * weight[c] * ((to_float(x[c]) - mean) * inverse_std);
                          });
    const bool accumulate = norm.accumulate;
    SPIKEGPT_INDEPENDENT_ITERATIONS
    for (std::int64_t c = 0; c < channels; ++c) {
      const float normal = (to_float(x[c]) - mean) * inverse_std;
      const float d = to_float(d_y[c]);
      d_weight[c] += d * normal;
      d_bias[c] += d;
      const float own = inverse_std * (d * weight[c] - mean_d - normal * mean_dx);
      d_x[c] = from_float<X>(accumulate ? to_float(d_x[c]) + own : own);
    }
  }
}

static void norm_forward_f32(const Piece& rows, std::int64_t channels, const LayerNormForward<float>& norm) {
  forward_rows(rows, channels, norm);
}
static void norm_forward_bf16(const Piece& rows, std::int64_t channels, const LayerNormForward<Bf16>& norm) {
  forward_rows(rows, channels, norm);
}
static void norm_forward_narrow(const Piece& rows, std::int64_t channels, const LayerNormForward<Bf16, Bf16>& norm) {
  forward_rows(rows, channels, norm);
}
static void norm_backward_f32(const Piece& rows, std::int64_t channels, const LayerNormBackward<float>& norm,
                              float* parts) {
  backward_rows(rows, channels, norm, parts);
}
static void norm_backward_bf16(const Piece& rows, std::int64_t channels, const LayerNormBackward<Bf16>& norm,
                               float* parts) {
  backward_rows(rows, channels, norm, parts);
}
static void norm_backward_narrow(const Piece& rows, std::int64_t channels, const LayerNormBackward<Bf16, Bf16>& norm,
                                 float* parts) {
  backward_rows(rows, channels, norm, parts);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

HWY_EXPORT(norm_forward_f32);
HWY_EXPORT(norm_forward_bf16);
HWY_EXPORT(norm_forward_narrow);
HWY_EXPORT(norm_backward_f32);
HWY_EXPORT(norm_backward_bf16);
HWY_EXPORT(norm_backward_narrow);

}  // namespace

template <class A, class X>
void layer_norm_forward(std::int64_t rows, std::int64_t channels, const LayerNormForward<A, X>& norm) noexcept {
  const KernelTimer timer(
      {.name = "layer norm forward", .bytes = bytes_of<A>(rows * channels, 1, 0) + bytes_of<X>(rows * channels, 1, 0)});
  parallel_for(piece_count(rows, kRowsPerTask), rows * channels, [&](std::int64_t task) {
    const Piece piece = piece_at(rows, task, kRowsPerTask);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(norm_forward_f32)(piece, channels, norm);
    } else if constexpr (std::is_same_v<X, Bf16>) {
      HWY_DYNAMIC_DISPATCH(norm_forward_narrow)(piece, channels, norm);
    } else {
      HWY_DYNAMIC_DISPATCH(norm_forward_bf16)(piece, channels, norm);
    }
  });
}

template <class A, class X>
void layer_norm_backward(std::int64_t rows, std::int64_t channels, const LayerNormBackward<A, X>& norm) noexcept {
  const int streams = norm.accumulate ? 3 : 2;  // x, d_x, and d_x as it was
  const KernelTimer timer({.name = "layer norm backward",
                           .bytes = bytes_of<A>(rows * channels, 1, 0) + bytes_of<X>(rows * channels, streams, 0)});
  const std::int64_t tasks = piece_count(rows, kRowsPerTask);
  parallel_for(tasks, [&](std::int64_t task) {
    const Piece piece = piece_at(rows, task, kRowsPerTask);
    float* parts = norm.scratch + task * 2 * channels;
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(norm_backward_f32)(piece, channels, norm, parts);
    } else if constexpr (std::is_same_v<X, Bf16>) {
      HWY_DYNAMIC_DISPATCH(norm_backward_narrow)(piece, channels, norm, parts);
    } else {
      HWY_DYNAMIC_DISPATCH(norm_backward_bf16)(piece, channels, norm, parts);
    }
  });
  for (std::int64_t task = 0; task < tasks; ++task) {
    const float* parts = norm.scratch + task * 2 * channels;
    for (std::int64_t c = 0; c < channels; ++c) norm.d_weight[c] += parts[c];
    for (std::int64_t c = 0; c < channels; ++c) norm.d_bias[c] += parts[channels + c];
  }
}

std::int64_t layer_norm_scratch_size(std::int64_t rows, std::int64_t channels) noexcept {
  return piece_count(rows, kRowsPerTask) * 2 * channels;
}

template void layer_norm_forward(std::int64_t, std::int64_t, const LayerNormForward<float>&) noexcept;
template void layer_norm_forward(std::int64_t, std::int64_t, const LayerNormForward<Bf16>&) noexcept;
template void layer_norm_forward(std::int64_t, std::int64_t, const LayerNormForward<Bf16, Bf16>&) noexcept;
template void layer_norm_backward(std::int64_t, std::int64_t, const LayerNormBackward<float>&) noexcept;
template void layer_norm_backward(std::int64_t, std::int64_t, const LayerNormBackward<Bf16>&) noexcept;
template void layer_norm_backward(std::int64_t, std::int64_t, const LayerNormBackward<Bf16, Bf16>&) noexcept;

}  // namespace spikegpt
#endif
