// Sums of rows of 8-bit weights, for whole events: what a product by events is made of where a row holds all outputs.
#pragma once

#include <cstdint>

#include "spikegpt/kernels/active_inputs.h"
#include "spikegpt/kernels/packed_matrix.h"

namespace spikegpt {

// Columns come in multiples of this.
inline constexpr std::int64_t kGatherColumns = 128;
// At most so many at once.
inline constexpr std::int64_t kMostGathered = 2048;

// Whether this CPU has the instructions; the matrix must be one of int8 in rows.
bool can_gather_bytes(const PackedMatrix& matrix) noexcept;

// Outputs [begin, end) of y [outputs].
struct GatheredOutputs {
  float* y = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;  // may lie in the padding of the last panel
  bool squared_relu = false;
};

// Those outputs of the product of the active inputs, which must be whole and in pairs (ActiveInputs::pair_up), with
// exact sums.
void gather_bytes(const PackedMatrix& matrix, const ActiveInputs& active, const GatheredOutputs& out) noexcept;

}  // namespace spikegpt
