// Layer normalisation over channels, eps 1e-5 (SPEC.md 6).
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

inline constexpr float kLayerNormEpsilon = 1e-5f;

// rows x channels; y has the activation type A, x the type X: float where it is the residual stream.
template <class A, class X = float>
struct LayerNormForward {
  const X* x = nullptr;
  const float* weight = nullptr;  // [C]
  const float* bias = nullptr;    // [C]
  A* y = nullptr;
  float* mean = nullptr;         // [rows], for backward; may be null
  float* inverse_std = nullptr;  // [rows], for backward; may be null
};
template <class A, class X = float>
void layer_norm_forward(std::int64_t rows, std::int64_t channels, const LayerNormForward<A, X>& norm) noexcept;

template <class A, class X = float>
struct LayerNormBackward {
  const X* x = nullptr;
  const float* weight = nullptr;
  const float* mean = nullptr;
  const float* inverse_std = nullptr;
  const A* d_y = nullptr;
  X* d_x = nullptr;           // may be d_y where A = X and it is overwritten
  bool accumulate = true;     // d_x is added to (the residual path), or overwritten
  float* d_weight = nullptr;  // [C], added to
  float* d_bias = nullptr;    // [C], added to
  float* scratch = nullptr;   // layer_norm_scratch_size floats
};
template <class A, class X = float>
void layer_norm_backward(std::int64_t rows, std::int64_t channels, const LayerNormBackward<A, X>& norm) noexcept;

std::int64_t layer_norm_scratch_size(std::int64_t rows, std::int64_t channels) noexcept;

}  // namespace spikegpt
