// How kernels read packed weights and put results away, once for every instruction set (Highway's pattern: the guard
// is switched over each time foreach_target.h compiles the including file again).
#if defined(SPIKEGPT_KERNELS_PACKED_WEIGHTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SPIKEGPT_KERNELS_PACKED_WEIGHTS_INL_H
#undef SPIKEGPT_KERNELS_PACKED_WEIGHTS_INL_H
#else
#define SPIKEGPT_KERNELS_PACKED_WEIGHTS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "spikegpt/core/inline.h"
#include "spikegpt/kernels/packed_product.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Float = hn::ScalableTag<float>;
using Short = hn::ScalableTag<std::int16_t>;
using Int = hn::ScalableTag<std::int32_t>;
using FloatVector = hn::Vec<Float>;
using IntVector = hn::Vec<Int>;
using ShortVector = hn::Vec<Short>;

// The outputs [begin, end) of one panel of a matrix.
struct Panel {
  const std::uint8_t* rows;
  const std::byte* scales;
  std::int64_t stride;  // bytes from input to input
  std::int64_t inputs;
  std::int64_t begin;
  std::int64_t end;
};

constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;  // 32 vector registers, else 16

// bf16 values from `values` + j on.
SPIKEGPT_INLINE FloatVector load_bf16(const void* values, std::int64_t j) {
  const hn::RebindToUnsigned<Float> du;
  const hn::Rebind<std::uint16_t, Float> half;
  const auto bits = hn::LoadU(half, static_cast<const std::uint16_t*>(values) + j);
  return hn::BitCast(Float(), hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

// How each type is read. `as_float(row, j)` are the stored values of the outputs from j on, `as_int` and `as_short` the
// same as integers of 32 and 16 bits, which plus kOffset fit an unsigned byte; `finish` makes a sum of them, over the
// inputs of one group, part of y.
struct F32Weights {
  static constexpr std::int64_t kRowBytes = 4 * kPanelWidth;
  static constexpr std::int64_t kGroup = 0;  // all inputs
  static constexpr bool kWhole = false;
  SPIKEGPT_INLINE static FloatVector as_float(const std::uint8_t* row, std::int64_t j) {
    return hn::LoadU(Float(), reinterpret_cast<const float*>(row) + j);
  }
  SPIKEGPT_INLINE static FloatVector finish(FloatVector, FloatVector sum, const std::byte*, std::int64_t,
                                            std::int64_t) {
    return sum;
  }
};

struct Bf16Weights {
  static constexpr std::int64_t kRowBytes = 2 * kPanelWidth;
  static constexpr std::int64_t kGroup = 0;
  static constexpr bool kWhole = false;
  SPIKEGPT_INLINE static FloatVector as_float(const std::uint8_t* row, std::int64_t j) { return load_bf16(row, j); }
  SPIKEGPT_INLINE static FloatVector finish(FloatVector, FloatVector sum, const std::byte*, std::int64_t,
                                            std::int64_t) {
    return sum;
  }
};

struct Int8Weights {
  static constexpr std::int64_t kRowBytes = kPanelWidth;
  static constexpr std::int64_t kGroup = 0;
  static constexpr bool kWhole = true;
  static constexpr int kLargest = 127;
  SPIKEGPT_INLINE static FloatVector as_float(const std::uint8_t* row, std::int64_t j) {
    return hn::ConvertTo(Float(), as_int(row, j));
  }
  static constexpr int kOffset = 128;
  SPIKEGPT_INLINE static IntVector as_int(const std::uint8_t* row, std::int64_t j) {
    const hn::Rebind<std::int8_t, Int> narrow;
    return hn::PromoteTo(Int(), hn::LoadU(narrow, reinterpret_cast<const std::int8_t*>(row) + j));
  }
  SPIKEGPT_INLINE static ShortVector as_short(const std::uint8_t* row, std::int64_t j) {
    const hn::Rebind<std::int8_t, Short> narrow;
    return hn::PromoteTo(Short(), hn::LoadU(narrow, reinterpret_cast<const std::int8_t*>(row) + j));
  }
  SPIKEGPT_INLINE static FloatVector finish(FloatVector, FloatVector sum, const std::byte* scales, std::int64_t,
                                            std::int64_t j) {
    return hn::Mul(sum, hn::LoadU(Float(), reinterpret_cast<const float*>(scales) + j));
  }
};

struct Int4Weights {
  static constexpr std::int64_t kRowBytes = kPanelWidth / 2;
  static constexpr std::int64_t kGroup = kInt4Group;
  static constexpr bool kWhole = true;
  static constexpr int kLargest = 8;
  static constexpr int kOffset = kInt4Offset;
  template <class Wide, class V = hn::Vec<Wide>>
  SPIKEGPT_INLINE static V nibbles(const std::uint8_t* row, std::int64_t j) {
    using T = hn::TFromD<Wide>;
    const hn::Rebind<std::uint8_t, Wide> narrow;
    constexpr std::int64_t kHalf = kInt4Block / 2;
    const std::int64_t in_block = j % kInt4Block;
    const auto bytes = hn::LoadU(narrow, row + j / kInt4Block * kHalf + in_block % kHalf);
    const V wide = hn::PromoteTo(Wide(), bytes);
    const V nibble = in_block < kHalf ? hn::And(wide, hn::Set(Wide(), T{15})) : hn::ShiftRight<4>(wide);
    return hn::Sub(nibble, hn::Set(Wide(), T{kInt4Offset}));
  }
  SPIKEGPT_INLINE static FloatVector as_float(const std::uint8_t* row, std::int64_t j) {
    return hn::ConvertTo(Float(), as_int(row, j));
  }
  SPIKEGPT_INLINE static IntVector as_int(const std::uint8_t* row, std::int64_t j) { return nibbles<Int>(row, j); }
  SPIKEGPT_INLINE static ShortVector as_short(const std::uint8_t* row, std::int64_t j) {
    return nibbles<Short>(row, j);
  }
  SPIKEGPT_INLINE static FloatVector finish(FloatVector before, FloatVector sum, const std::byte* scales,
                                            std::int64_t group, std::int64_t j) {
    return hn::Add(before, hn::Mul(sum, load_bf16(scales, group * kPanelWidth + j)));
  }
};

// Moves the finished outputs of a part to their place in y.
SPIKEGPT_INLINE void put(const PackedProduct& product, const float* HWY_RESTRICT from, const PanelPart& part,
                         std::int64_t row) {
  const std::int64_t outputs = product.matrix->outputs();
  const std::int64_t first = part.panel * kPanelWidth + part.begin;
  const std::int64_t count = std::clamp<std::int64_t>(outputs - first, 0, part.end - part.begin);
  float* HWY_RESTRICT y = product.y + row * outputs + first;
  if (!product.squared_relu) {
    std::memcpy(y, from, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  for (std::int64_t j = 0; j < count; ++j) {
    const float positive = from[j] > 0.0f ? from[j] : 0.0f;
    y[j] = positive * positive;
  }
}

SPIKEGPT_INLINE Panel panel_of(const PackedMatrix& matrix, const PanelPart& part) {
  return {reinterpret_cast<const std::uint8_t*>(matrix.panel(part.panel)), matrix.panel_scales(part.panel),
          matrix.stride(), matrix.inputs(), part.begin, part.end};
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
