#include "spikegpt/kernels/gather_bytes.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/gather_bytes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "spikegpt/core/inline.h"
#include "spikegpt/kernels/packed_weights-inl.h"

#ifndef SPIKEGPT_KERNELS_GATHER_BYTES_ONCE
#define SPIKEGPT_KERNELS_GATHER_BYTES_ONCE
namespace spikegpt {

// The columns of a matrix that are gathered.
struct ByteColumns {
  const std::int8_t* first;  // of input 0
  std::int64_t stride;       // from input to input
  std::int64_t count;
  const std::int8_t* row(std::int32_t input) const { return first + input * stride; }
};

// Where their sums go.
struct ByteOutputs {
  float* y;
  const float* scales;
  std::int64_t count;  // of outputs: columns past it are padding
  bool squared_relu;
};

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

using Byte = hn::ScalableTag<std::int8_t>;
constexpr std::int64_t kBytes = HWY_MAX_BYTES;  // of a vector

// Of neighbouring bytes: the products of sizes and weights, added two by two.
SPIKEGPT_INLINE ShortVector multiply(ShortVector sizes, hn::Vec<Byte> pair) {
#if HWY_TARGET == HWY_AVX2
  return ShortVector{_mm256_maddubs_epi16(sizes.raw, pair.raw)};
#else
  return ShortVector{_mm512_maddubs_epi16(sizes.raw, pair.raw)};
#endif
}
template <bool kNegative>
SPIKEGPT_INLINE ShortVector add(ShortVector sum, ShortVector product) {
  return kNegative ? hn::Sub(sum, product) : hn::Add(sum, product);
}

// Inlined by force: the compiler would take a function that only fetches ahead for one without effect.
template <int kChunks>
SPIKEGPT_INLINE void prefetch_part(const std::int8_t* row) {
  for (std::int64_t byte = 0; byte < kChunks * kBytes; byte += 64) __builtin_prefetch(row + byte);
}

// Adds pairs to 16-bit sums of kChunks vectors of columns, or takes them away, and asks for the same columns of pairs
// that come later. A chunk's sums are two vectors: of the lower and the upper halves of its blocks of 16 columns.
template <int kChunks, bool kNegative>
SPIKEGPT_INLINE void add_pairs(const ByteColumns& columns, std::int64_t column, const InputPairs& pairs,
                               const InputPairs& later, std::int16_t* HWY_RESTRICT sums) {
  const Byte d;
  const Short ds;
  ShortVector low[kChunks];
  ShortVector high[kChunks];
  for (std::int64_t k = 0; k < kChunks; ++k) {
    low[k] = hn::LoadU(ds, sums + k * kBytes);
    high[k] = hn::LoadU(ds, sums + k * kBytes + kBytes / 2);
  }
  for (std::size_t i = 0; i < pairs.index.size(); i += 2) {
    const std::int8_t* const first = columns.row(pairs.index[i]) + column;
    const std::int8_t* const second = columns.row(pairs.index[i + 1]) + column;
    const ShortVector sizes = hn::Set(ds, static_cast<std::int16_t>(pairs.size[i] | pairs.size[i + 1] << 8));
    if (i < later.index.size()) {
      prefetch_part<kChunks>(columns.row(later.index[i]) + column);
      prefetch_part<kChunks>(columns.row(later.index[i + 1]) + column);
    }
    for (std::int64_t k = 0; k < kChunks; ++k) {
      hn::Vec<Byte> a = hn::LoadU(d, first + k * kBytes);
      hn::Vec<Byte> b = hn::LoadU(d, second + k * kBytes);
      asm("" : "+v"(a.raw), "+v"(b.raw));  // each is read from memory once
      low[k] = add<kNegative>(low[k], multiply(sizes, hn::InterleaveLower(d, a, b)));
      high[k] = add<kNegative>(high[k], multiply(sizes, hn::InterleaveUpper(d, a, b)));
    }
  }
  for (std::int64_t k = 0; k < kChunks; ++k) {
    hn::StoreU(low[k], ds, sums + k * kBytes);
    hn::StoreU(high[k], ds, sums + k * kBytes + kBytes / 2);
  }
}

// Calls visitor(column, eight 16-bit sums) in the order of the columns.
template <class Visitor>
SPIKEGPT_INLINE void visit_sums(std::int64_t columns, std::int16_t* HWY_RESTRICT narrow, const Visitor& visitor) {
  for (std::int64_t chunk = 0; chunk < columns; chunk += kBytes) {
    for (std::int64_t block = 0; block < kBytes / 16; ++block) {
      for (std::int64_t half = 0; half < 2; ++half) {
        auto* const eight = reinterpret_cast<__m128i*>(narrow + chunk + half * (kBytes / 2) + block * 8);
        visitor(chunk + block * 16 + half * 8, eight);
      }
    }
  }
}

// Moves the 16-bit sums to the 32-bit ones.
SPIKEGPT_INLINE void empty(std::int64_t columns, std::int16_t* HWY_RESTRICT narrow, std::int32_t* HWY_RESTRICT wide) {
  visit_sums(columns, narrow, [&](std::int64_t column, __m128i* eight) {
    auto* const to = reinterpret_cast<__m256i*>(wide + column);
    _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), _mm256_cvtepi16_epi32(_mm_loadu_si128(eight))));
    _mm_storeu_si128(eight, _mm_setzero_si128());
  });
}

// y = the sums times their scales, or the square of its positive part.
SPIKEGPT_INLINE void finish(const ByteOutputs& out, std::int64_t columns, std::int16_t* HWY_RESTRICT narrow,
                            const std::int32_t* HWY_RESTRICT wide) {
  visit_sums(columns, narrow, [&](std::int64_t column, const __m128i* eight) {
    const __m256i more = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(wide + column));
    const __m256i sum = _mm256_add_epi32(more, _mm256_cvtepi16_epi32(_mm_loadu_si128(eight)));
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(out.scales + column));
    if (out.squared_relu) {
      y = _mm256_max_ps(y, _mm256_setzero_ps());
      y = _mm256_mul_ps(y, y);
    }
    const std::int64_t room = out.count - column;
    if (room >= 8) {
      _mm256_storeu_ps(out.y + column, y);
    } else {  // outputs past the end of the last panel
      alignas(32) float last[8];
      _mm256_store_ps(last, y);
      for (std::int64_t c = 0; c < room; ++c) out.y[column + c] = last[c];
    }
  });
}

constexpr std::size_t kGroup = 16;                     // pairs whose rows stay in the first-level cache
constexpr std::int64_t kRoom = INT16_MAX / 127;        // events that a 16-bit sum can take
constexpr int kMany = HWY_TARGET == HWY_AVX2 ? 4 : 8;  // vectors of columns at a time: their sums stay in registers
constexpr int kFew = static_cast<int>(kGatherColumns / kBytes);

// The next pairs that fit into 16-bit sums together, and how many events they are.
struct Group {
  InputPairs pairs;
  std::int64_t events = 0;
};
SPIKEGPT_INLINE Group group_at(const InputPairs& pairs, std::size_t begin) {
  Group group;
  const std::size_t most = std::min(pairs.count() - begin, kGroup);
  std::size_t count = 0;
  for (; count < most; ++count) {
    const std::size_t i = 2 * (begin + count);
    const std::int64_t events = std::int64_t{pairs.size[i]} + pairs.size[i + 1];
    if (group.events + events > kRoom) break;
    group.events += events;
  }
  group.pairs = pairs.part(begin, count);
  return group;
}

// Sums of 16 bits, and of 32 where those were emptied.
struct Sums {
  alignas(64) std::int16_t narrow[kMostGathered];
  alignas(64) std::int32_t wide[kMostGathered];
  std::int64_t room = kRoom;
};

template <bool kNegative>
SPIKEGPT_INLINE void add_inputs(const ByteColumns& columns, const InputPairs& inputs, Sums& sums) {
  Group group = group_at(inputs, 0);
  for (std::size_t begin = 0; begin < inputs.count();) {
    begin += group.pairs.count();
    const Group later = begin < inputs.count() ? group_at(inputs, begin) : Group();
    if (sums.room < group.events) {
      empty(columns.count, sums.narrow, sums.wide);
      sums.room = kRoom;
    }
    sums.room -= group.events;
    std::int64_t column = 0;
    for (; column + kMany * kBytes <= columns.count; column += kMany * kBytes) {
      add_pairs<kMany, kNegative>(columns, column, group.pairs, later.pairs, sums.narrow + column);
    }
    for (; column < columns.count; column += kFew * kBytes) {
      add_pairs<kFew, kNegative>(columns, column, group.pairs, later.pairs, sums.narrow + column);
    }
    group = later;
  }
}

static void gather(const ByteColumns& columns, const ActiveInputs& active, const ByteOutputs& out) {
  Sums sums;
  std::memset(sums.narrow, 0, static_cast<std::size_t>(columns.count) * sizeof(std::int16_t));
  std::memset(sums.wide, 0, static_cast<std::size_t>(columns.count) * sizeof(std::int32_t));
  add_inputs<false>(columns, active.pairs(false), sums);
  add_inputs<true>(columns, active.pairs(true), sums);
  finish(out, columns.count, sums.narrow, sums.wide);
}
static bool can_gather() { return true; }

#else

static void gather(const ByteColumns&, const ActiveInputs&, const ByteOutputs&) {}
static bool can_gather() { return false; }

#endif

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(gather);
HWY_EXPORT(can_gather);

}  // namespace

bool can_gather_bytes(const PackedMatrix& matrix) noexcept {
  return matrix.type() == WeightType::kInt8 && matrix.layout() == MatrixLayout::kRows &&
         HWY_DYNAMIC_DISPATCH(can_gather)();
}

void gather_bytes(const PackedMatrix& matrix, const ActiveInputs& active, const GatheredOutputs& out) noexcept {
  const auto* const first = reinterpret_cast<const std::int8_t*>(matrix.panel(0)) + out.begin;
  const auto* const scales = reinterpret_cast<const float*>(matrix.scales().data()) + out.begin;
  HWY_DYNAMIC_DISPATCH(gather)
  ({first, matrix.stride(), out.end - out.begin}, active,
   {out.y + out.begin, scales, matrix.outputs() - out.begin, out.squared_relu});
}

}  // namespace spikegpt
#endif
