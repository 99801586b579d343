// Float32 matrix products. gemm.h is their face; see docs/decisions/float-products.md for why they are our own.
//
// Every element of a product is summed in the order of k: in blocks of 256, each from zero by fused multiply-adds,
// and the blocks one after the other. Neither the number of threads nor the width of a vector changes a bit; only a
// CPU without fused multiply-add rounds otherwise.
#pragma once

#include <cstdint>

#include "spikegpt/kernels/epilogue.h"

namespace spikegpt {

// How the elements of a [k, n] operand are stored before they are packed.
enum class OperandOrder : std::uint8_t {
  kRows,        // [k, n]
  kTransposed,  // [n, k]
};

// Floats that a packed [k, n] operand takes: panels of 16 columns, [panel, k, 16], an even number of them.
std::int64_t float_panels_size(std::int64_t k, std::int64_t n) noexcept;

// Lays out `values`; columns behind the last are zero.
void pack_float_panels(std::int64_t k, std::int64_t n, OperandOrder order, const float* values, float* panels) noexcept;

// c [m, n] = a [m, k] b [k, n]
struct FloatProduct {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  const float* a = nullptr;
  const float* panels = nullptr;  // b, packed
  float* c = nullptr;
  Epilogue epilogue = Epilogue::kNone;
};
void multiply_floats(const FloatProduct& product);

// c [m, n] = a^T b, or += with `accumulate`; a [k, m] and b [k, n] as they are.
struct FloatGradient {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  bool accumulate = false;
};
void multiply_transposed_floats(const FloatGradient& product);

}  // namespace spikegpt
