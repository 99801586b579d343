// Products with packed weights: gathered where inputs are silent, dense where they are not. Both add an output's terms
// in the order of the inputs, or as integers, whose sums are exact (whole_product.h), so that which one ran, how many
// rows ran at once, and on how many threads, changes no bit of the result. (Only a CPU without fused multiply-add may
// round dense products of graded inputs otherwise.)
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "spikegpt/kernels/active_inputs.h"
#include "spikegpt/kernels/packed_matrix.h"
#include "spikegpt/kernels/whole_product.h"

namespace spikegpt {

// y [rows, outputs] = x [rows, inputs] times the matrix.
struct PackedProduct {
  const PackedMatrix* matrix = nullptr;
  const float* x = nullptr;
  float* y = nullptr;
  bool squared_relu = false;  // y = max(y, 0)^2, SPEC.md 5
};

// Neighbouring outputs of a panel: what one task computes.
struct PanelPart {
  std::int64_t panel = 0;
  std::int64_t begin = 0;  // output in the panel
  std::int64_t end = 0;
};

// What products did, by the reckoning of SPEC.md 11.
struct ProductWork {
  std::int64_t weight_bytes = 0;  // read, scales included
  std::int64_t accumulates = 0;   // an addition per spike and output; two spikes of a neuron are two
  std::int64_t multiply_accumulates = 0;
};

enum class ProductPath : std::uint8_t {
  kAuto,  // events where fewer inputs are active than kBreakEvenDensity
  kEvents,
  kDense,
};

// Share of active inputs up to which gathering beats streaming (measured: docs/event.md, `spikegpt bench events`).
inline constexpr double kBreakEvenDensity = 0.5;
// Rows up to which each may be gathered by itself.
inline constexpr std::int64_t kMaxEventRows = 16;

// Runs products; holds the lists of active inputs. One at a time.
class PackedRunner {
 public:
  PackedRunner() = default;
  // For at most `products` products at once, of at most `inputs` inputs.
  PackedRunner(std::size_t products, std::int64_t inputs);

  // Runs products of the same number of rows together. Products that share x must share the number of inputs.
  void run(std::int64_t rows, std::span<const PackedProduct> products);

  ProductPath path = ProductPath::kAuto;
  ProductWork work;      // added to
  double seconds = 0.0;  // spent in products, added to

 private:
  void run_events(std::int64_t rows, std::span<const PackedProduct> products);
  // Of a matrix in rows, if all inputs are whole; else does nothing and returns false.
  bool run_bytes(std::int64_t rows, const PackedProduct& product, std::size_t index);
  void run_dense(std::int64_t rows, std::span<const PackedProduct> products);
  bool find_active(std::int64_t rows, std::span<const PackedProduct> products);
  ActiveInputs& active(std::size_t product, std::int64_t row) {
    return lists_[list_of_[product] * static_cast<std::size_t>(kMaxEventRows) + static_cast<std::size_t>(row)];
  }

  std::vector<ActiveInputs> lists_;   // [products, kMaxEventRows]
  std::vector<std::size_t> list_of_;  // products that share x share a list
  WholeRunner whole_;
};

}  // namespace spikegpt
