// Dense matrix products: in float32 our own (float_product.h), in bf16 those of oneDNN, which gemm.cc alone sees.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "spikegpt/core/dtype.h"
#include "spikegpt/kernels/epilogue.h"

namespace spikegpt {

enum class GemmPrecision : std::uint8_t {
  kF32,
  kBf16,  // bf16 operands, float accumulation
};

// Whether this CPU multiplies bf16 in hardware (AVX512-BF16 or AMX).
bool cpu_multiplies_bf16();
// Whether products of this precision run here at all: bf16 needs AVX-512 to be emulated.
bool can_multiply(GemmPrecision precision);

// "f32", "bf16", or "auto": bf16 where the CPU multiplies it. Throws Error: kInvalidArgument for another word,
// kUnsupported for bf16 on a CPU that cannot even emulate it.
GemmPrecision gemm_precision(std::string_view word);
std::string_view name_of(GemmPrecision precision);

enum class WeightUse : std::uint8_t {
  kForward,   // y [rows, out] = x [rows, in] W^T
  kBackward,  // d_x [rows, in] = d_y [rows, out] W
};

// A weight W [out, in], laid out as the product for one use wants it. Costs out * in elements of the precision.
// `multiply` may be called from several threads at once.
class PackedWeight {
 public:
  PackedWeight(std::int64_t out, std::int64_t in, WeightUse use, GemmPrecision precision);
  ~PackedWeight();
  PackedWeight(PackedWeight&&) noexcept;
  PackedWeight& operator=(PackedWeight&&) noexcept;

  // Takes the values of `weight` [out, in].
  void pack(const float* weight);

  // A is float for kF32, Bf16 for kBf16; Y is A or float. Allocates only at the first call with a number of rows.
  template <class A, class Y>
  void multiply(std::int64_t rows, const A* x, Y* y, Epilogue epilogue = Epilogue::kNone) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// The shape of y [rows, out] = x [rows, in] W^T.
struct LinearShape {
  std::int64_t rows = 0;
  std::int64_t out = 0;
  std::int64_t in = 0;
};

// d_weight [out, in] = d_y^T x, or += with `accumulate`. A is float or Bf16.
template <class A>
void weight_gradient(const LinearShape& shape, const A* d_y, const A* x, float* d_weight, bool accumulate);

}  // namespace spikegpt
