// Token shift: each channel mixes the current token with the one before (SPEC.md 3).
#pragma once

#include <array>
#include <cstdint>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/shape.h"

namespace spikegpt {

inline constexpr std::size_t kMaxMixes = 3;

// mixed[j][t] = scale (x[t] * mu[j] + x[t-1] * (1 - mu[j])) for every j below `mixes`. x may be columns of wider rows:
// then so are `previous` and `last`.
template <class A>
struct TokenShiftForward {
  const A* x = nullptr;             // [B, T, C]
  std::int64_t stride = 0;          // from row to row of x; 0 = C
  float scale = 1.0f;
  const float* previous = nullptr;  // [B, C] the token before the first; null = 0
  std::size_t mixes = 0;
  std::array<const float*, kMaxMixes> mu{};  // [C] each
  std::array<A*, kMaxMixes> mixed{};         // [B, T, C] each; null = not wanted
  float* last = nullptr;                     // [B, C] receives the last token; may be null or `previous`
};
template <class A>
void token_shift_forward(const SequenceShape& shape, const TokenShiftForward<A>& shift) noexcept;

template <class A>
struct TokenShiftBackward {
  const A* x = nullptr;
  std::int64_t stride = 0;  // of x, `previous` and d_x
  float scale = 1.0f;
  const float* previous = nullptr;
  std::size_t mixes = 0;
  std::array<const float*, kMaxMixes> mu{};
  std::array<const A*, kMaxMixes> d_mixed{};
  A* d_x = nullptr;                      // [B, T, C], overwritten; may be d_mixed[0] where stride is C
  std::array<float*, kMaxMixes> d_mu{};  // [C] each, added to
  float* scratch = nullptr;              // token_shift_scratch_size floats
};
// Gradients stop at the start of the sequence: `previous` is a constant.
template <class A>
void token_shift_backward(const SequenceShape& shape, const TokenShiftBackward<A>& shift) noexcept;

std::int64_t token_shift_scratch_size(const SequenceShape& shape) noexcept;

}  // namespace spikegpt
