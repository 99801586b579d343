#include "spikegpt/kernels/whole_product.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/whole_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "spikegpt/core/inline.h"
#include "spikegpt/kernels/packed_product.h"
#include "spikegpt/kernels/packed_weights-inl.h"

#ifndef SPIKEGPT_KERNELS_WHOLE_PRODUCT_ONCE
#define SPIKEGPT_KERNELS_WHOLE_PRODUCT_ONCE
namespace spikegpt {

constexpr std::int64_t kRowPadding = 6;  // rows of x are padded to whole tiles of any instruction set
constexpr std::int64_t kWholeTile = 64;  // most outputs computed at once

// What dot products the CPU has.
enum class DotProducts : std::uint8_t {
  kNone,
  kPairs,  // two inputs and weights of 16 bits a lane: AVX2, AVX-512
  kBytes,  // four inputs and weights of 8 bits a lane: AVX512-VNNI
};
inline std::int64_t inputs_per_unit(DotProducts dots) { return dots == DotProducts::kBytes ? 4 : 2; }

inline std::int64_t round_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

// A part of one panel times all rows.
struct WholeTask {
  const PackedProduct& product;
  const WholeInputs& inputs;
  PanelPart part;
  std::int64_t rows;
  std::int32_t* weights;  // scratch [units of a row, kWholeTile]
};

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Converts row x [inputs]; the rest of its last unit is zero, which makes it silent. Returns whether all are whole and
// small enough.
template <class T>
SPIKEGPT_INLINE bool convert_row(std::int64_t inputs, std::int64_t padded, const float* HWY_RESTRICT x,
                                 T* HWY_RESTRICT out) {
  std::int32_t strange = 0;
  for (std::int64_t i = 0; i < inputs; ++i) {
    const float bounded = std::min(std::max(-127.0f, x[i]), 127.0f);  // NaN becomes -127
    const auto whole = static_cast<std::int32_t>(bounded);
    strange |= static_cast<float>(whole) != x[i];
    out[i] = static_cast<T>(whole);
  }
  for (std::int64_t i = inputs; i < padded; ++i) out[i] = 0;
  return strange == 0;
}

// The weights of dot products of bytes are shifted by `offset` to be unsigned; a sum that starts with this comes out
// right in the end.
template <class T>
SPIKEGPT_INLINE void sum_groups(const T* HWY_RESTRICT x, std::int64_t inputs, std::int64_t group, int offset,
                                std::int32_t* HWY_RESTRICT starts) {
  for (std::int64_t first = 0; first < inputs; first += group) {
    const std::int64_t end = std::min(inputs, first + group);
    std::int32_t sum = 0;
    for (std::int64_t i = first; i < end; ++i) sum += x[i];
    starts[first / group] = -offset * sum;
  }
}

template <class T>
SPIKEGPT_INLINE bool convert(const PackedMatrix& matrix, std::int64_t row, const float* x, const WholeInputs& out) {
  const std::int64_t inputs = matrix.inputs();
  T* const values = reinterpret_cast<T*>(out.units.data() + row * out.units_per_row);
  if (!convert_row(inputs, out.units_per_row * static_cast<std::int64_t>(4 / sizeof(T)), x + row * inputs, values)) {
    return false;
  }
  const bool int4 = matrix.type() == WeightType::kInt4;
  const int offset = sizeof(T) > 1 ? 0 : int4 ? Int4Weights::kOffset : Int8Weights::kOffset;
  sum_groups(values, inputs, int4 ? kInt4Group : inputs, offset, out.starts.data() + row * matrix.groups());
  return true;
}

static bool take_row(const PackedMatrix& matrix, DotProducts dots, std::int64_t row, const float* x,
                     const WholeInputs& out) {
  if (dots == DotProducts::kBytes) return convert<std::int8_t>(matrix, row, x, out);
  return convert<std::int16_t>(matrix, row, x, out);
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

// How a unit of weights is made of the rows of its inputs, and added. No sum overflows: a product of a pair of 16-bit
// values is at most 2 * 127 * 128, exact in the 32 bits that `add` keeps it in.
struct Pairs {
  static constexpr std::int64_t kInputs = 2;
  template <class W>
  SPIKEGPT_INLINE static IntVector unit(const std::uint8_t* const (&rows)[kInputs], std::int64_t j) {
    const auto low = hn::And(W::as_int(rows[0], j), hn::Set(Int(), 0xffff));
    return hn::Or(low, hn::ShiftLeft<16>(W::as_int(rows[1], j)));
  }
  SPIKEGPT_INLINE static IntVector add(IntVector sum, IntVector weights, IntVector x) {
#if HWY_TARGET == HWY_AVX2
    return hn::Add(sum, IntVector{_mm256_madd_epi16(weights.raw, x.raw)});
#else
    return hn::Add(sum, IntVector{_mm512_madd_epi16(weights.raw, x.raw)});
#endif
  }
};

#if HWY_TARGET == HWY_AVX3
// vpdpbusd adds four products of an unsigned and a signed byte to 32 bits, with nothing narrower between.
struct Bytes {
  static constexpr std::int64_t kInputs = 4;
  template <class W>
  SPIKEGPT_INLINE static IntVector unit(const std::uint8_t* const (&rows)[kInputs], std::int64_t j) {
    // Each weight plus the offset fits its byte, so adding all offsets at once carries into no neighbour.
    auto sum = hn::Add(W::as_int(rows[0], j), hn::Set(Int(), W::kOffset * 0x01010101));
    sum = hn::Add(sum, hn::ShiftLeft<8>(W::as_int(rows[1], j)));
    sum = hn::Add(sum, hn::ShiftLeft<16>(W::as_int(rows[2], j)));
    return hn::Add(sum, hn::ShiftLeft<24>(W::as_int(rows[3], j)));
  }
  SPIKEGPT_INLINE static IntVector add(IntVector sum, IntVector weights, IntVector x) {
    // Not as an intrinsic: that would have to be compiled for VNNI, and all of this target would.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(weights.raw), "v"(x.raw));
    return sum;
  }
};
#endif

// A tile, rows of x times vectors of outputs: its sums, a load of weights and products on their way fill the registers.
constexpr std::int64_t kRows = kManyRegisters ? 6 : 3;
constexpr std::int64_t kVectors = kManyRegisters ? 4 : 2;
static_assert(kRowPadding % kRows == 0);

// The weights of the outputs from j on, [units, kVectors vectors].
template <class Dots, class W>
SPIKEGPT_INLINE void lay_out(const Panel& panel, std::int64_t j, std::int32_t* HWY_RESTRICT out) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Int()));
  for (std::int64_t first = 0; first < panel.inputs; first += Dots::kInputs) {
    const std::uint8_t* rows[Dots::kInputs];
    for (std::int64_t k = 0; k < Dots::kInputs; ++k) {
      rows[k] = panel.rows + std::min(first + k, panel.inputs - 1) * panel.stride;  // inputs past the end are zero
    }
    for (std::int64_t v = 0; v < kVectors; ++v, out += lanes) {
      hn::StoreU(Dots::template unit<W>(rows, j + v * lanes), Int(), out);
    }
  }
}

// kRows rows of x from `row` on times the outputs from j on, into y [kRows, kWholeTile].
template <class Dots, class W>
SPIKEGPT_INLINE void whole_tile(const WholeTask& task, const Panel& panel, std::int64_t row, std::int64_t j,
                                float* HWY_RESTRICT y) {
  const Float df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int64_t units = task.inputs.units_per_row;
  const std::int64_t groups = task.product.matrix->groups();
  const std::int64_t group_units = W::kGroup == 0 ? units : W::kGroup / Dots::kInputs;
  const std::int32_t* HWY_RESTRICT x = task.inputs.units.data() + row * units;
  const std::int32_t* HWY_RESTRICT starts = task.inputs.starts.data() + row * groups;
  const std::int32_t* HWY_RESTRICT weights = task.weights;
  for (std::int64_t group = 0; group < groups; ++group) {
    IntVector sum[kRows][kVectors];
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (auto& v : sum[r]) v = hn::Set(Int(), starts[r * groups + group]);
    }
    const std::int64_t end = std::min(units, (group + 1) * group_units);
    for (std::int64_t u = group * group_units; u < end; ++u, weights += kVectors * lanes) {
      IntVector weight[kVectors];
      for (std::int64_t v = 0; v < kVectors; ++v) weight[v] = hn::LoadU(Int(), weights + v * lanes);
      for (std::int64_t r = 0; r < kRows; ++r) {
        const auto value = hn::Set(Int(), x[r * units + u]);
        for (std::int64_t v = 0; v < kVectors; ++v) sum[r][v] = Dots::add(sum[r][v], weight[v], value);
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t v = 0; v < kVectors; ++v) {
        float* const out = y + r * kWholeTile + v * lanes;
        const auto before = group == 0 ? hn::Zero(df) : hn::LoadU(df, out);
        hn::StoreU(W::finish(before, hn::ConvertTo(df, sum[r][v]), panel.scales, group, j + v * lanes), df, out);
      }
    }
  }
}

template <class Dots, class W>
static void multiply(const WholeTask& task) {
  const std::int64_t width = kVectors * static_cast<std::int64_t>(hn::Lanes(Int()));
  const Panel panel = panel_of(*task.product.matrix, task.part);
  alignas(64) float y[kRows * kWholeTile];
  for (std::int64_t j = panel.begin; j < panel.end; j += width) {
    lay_out<Dots, W>(panel, j, task.weights);
    for (std::int64_t row = 0; row < task.rows; row += kRows) {
      whole_tile<Dots, W>(task, panel, row, j, y);
      const std::int64_t count = std::min(kRows, task.rows - row);
      for (std::int64_t r = 0; r < count; ++r) {
        put(task.product, y + r * kWholeTile, {task.part.panel, j, j + width}, row + r);
      }
    }
  }
}

template <class Dots>
SPIKEGPT_INLINE void multiply_type(const WholeTask& task) {
  if (task.product.matrix->type() == WeightType::kInt4) return multiply<Dots, Int4Weights>(task);
  multiply<Dots, Int8Weights>(task);
}

static void whole_part(const WholeTask& task, [[maybe_unused]] DotProducts dots) {
#if HWY_TARGET == HWY_AVX3
  if (dots == DotProducts::kBytes) return multiply_type<Bytes>(task);
#endif
  multiply_type<Pairs>(task);
}
static DotProducts dot_products() { return DotProducts::kPairs; }

#else

static void whole_part(const WholeTask&, DotProducts) {}
static DotProducts dot_products() { return DotProducts::kNone; }

#endif

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <atomic>

#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/panel_parts.h"
#include "spikegpt/kernels/simd.h"

namespace spikegpt {
namespace {

HWY_EXPORT(take_row);
HWY_EXPORT(whole_part);
HWY_EXPORT(dot_products);

// Inputs of which no partial sum can leave 32 bits: each adds at most (128 + 255) * 127, its share of the start
// included.
constexpr std::int64_t kMaxInputs = 44000;

DotProducts best_dot_products() {
  const DotProducts dots = HWY_DYNAMIC_DISPATCH(dot_products)();
  return dots == DotProducts::kPairs && simd_has_vnni() ? DotProducts::kBytes : dots;
}

// Grows `buffer` to `count` elements; what it held is lost.
void reserve(AlignedBuffer<std::int32_t>& buffer, std::int64_t count) {
  if (buffer.size() < static_cast<std::size_t>(count)) {
    buffer = AlignedBuffer<std::int32_t>(static_cast<std::size_t>(count));
  }
}

}  // namespace

bool WholeRunner::fits(std::span<const PackedProduct> products) noexcept {
  if (best_dot_products() == DotProducts::kNone) return false;
  return std::all_of(products.begin(), products.end(), [](const PackedProduct& product) {
    const WeightType type = product.matrix->type();
    return (type == WeightType::kInt8 || type == WeightType::kInt4) && product.matrix->inputs() <= kMaxInputs;
  });
}

bool WholeRunner::take_inputs(std::int64_t rows, std::span<const PackedProduct> products) {
  const DotProducts dots = best_dot_products();
  if (inputs_.size() < products.size()) inputs_.resize(products.size());
  inputs_of_.resize(products.size());
  for (std::size_t p = 0; p < products.size(); ++p) {
    inputs_of_[p] = p;
    for (std::size_t q = 0; q < p && inputs_of_[p] == p; ++q) {
      if (products[q].x == products[p].x) inputs_of_[p] = q;
    }
    if (inputs_of_[p] != p) continue;
    const PackedMatrix& matrix = *products[p].matrix;
    WholeInputs& inputs = inputs_[p];
    const std::int64_t padded_rows = round_up(rows, kRowPadding);
    inputs.units_per_row = round_up(matrix.inputs(), inputs_per_unit(dots)) / inputs_per_unit(dots);
    reserve(inputs.units, padded_rows * inputs.units_per_row);
    reserve(inputs.starts, padded_rows * matrix.groups());
    std::atomic<bool> whole = true;
    parallel_for(rows, rows * matrix.inputs(), [&](std::int64_t row) {
      if (!whole.load(std::memory_order_relaxed)) return;
      if (!HWY_DYNAMIC_DISPATCH(take_row)(matrix, dots, row, products[p].x, inputs)) whole = false;
    });
    if (!whole) return false;
  }
  return true;
}

void WholeRunner::reserve_weights() {
  std::int64_t units = 0;
  for (const std::size_t p : inputs_of_) units = std::max(units, inputs_[p].units_per_row);
  weights_.resize(std::max(weights_.size(), static_cast<std::size_t>(thread_count())));
  for (AlignedBuffer<std::int32_t>& weights : weights_) reserve(weights, units * kWholeTile);
}

bool WholeRunner::run(std::int64_t rows, std::span<const PackedProduct> products) {
  if (!take_inputs(rows, products)) return false;
  reserve_weights();
  const DotProducts dots = best_dot_products();
  const PanelParts parts(products);
  parallel_for(parts.count(), [&](std::int64_t task, int worker) {
    const PanelParts::Part part = parts.at(task);
    HWY_DYNAMIC_DISPATCH(whole_part)
    ({part.product, inputs_[inputs_of_[part.index]], part.place, rows,
      weights_[static_cast<std::size_t>(worker)].data()},
     dots);
  });
  return true;
}

}  // namespace spikegpt
#endif
