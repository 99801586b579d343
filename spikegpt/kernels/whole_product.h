// Dense products of whole inputs, such as counted spikes, with integer weights, in the integer dot products of the CPU.
// A group's sum is exact, so any order of additions gives the bits of the other paths (packed_product.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/packed_matrix.h"

namespace spikegpt {

struct PackedProduct;

// The rows of one x as integers, [rows rounded up, units]: a unit is what a 32-bit lane of a dot product takes, four
// inputs of 8 bits or two of 16.
struct WholeInputs {
  std::int64_t units_per_row = 0;
  AlignedBuffer<std::int32_t> units;
  AlignedBuffer<std::int32_t> starts;  // [rows rounded up, groups]: what the sum of a group begins with
};

// Runs such products; holds the integers of x and of some weights. Its memory grows to the most it was asked for.
class WholeRunner {
 public:
  // Whether products with these matrices can run here: integer weights, a CPU with integer dot products.
  static bool fits(std::span<const PackedProduct> products) noexcept;

  // Computes all products and returns true; or writes nothing and returns false, because some input is not a whole
  // number from -127 to 127. The products must fit.
  bool run(std::int64_t rows, std::span<const PackedProduct> products);

 private:
  bool take_inputs(std::int64_t rows, std::span<const PackedProduct> products);
  void reserve_weights();

  std::vector<WholeInputs> inputs_;
  std::vector<std::size_t> inputs_of_;                // products that share x share its integers
  std::vector<AlignedBuffer<std::int32_t>> weights_;  // of each worker: units of the outputs it computes
};

}  // namespace spikegpt
