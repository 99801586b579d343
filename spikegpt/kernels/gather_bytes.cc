#include "spikegpt/kernels/gather_bytes.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/gather_bytes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>

#include <algorithm>

#include "spikegpt/core/inline.h"

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

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

#if HWY_TARGET == HWY_AVX2
using ByteVector = __m256i;
SPIKEGPT_INLINE ByteVector load(const void* p) { return _mm256_loadu_si256(static_cast<const ByteVector*>(p)); }
SPIKEGPT_INLINE void store(void* p, ByteVector v) { _mm256_storeu_si256(static_cast<ByteVector*>(p), v); }
SPIKEGPT_INLINE ByteVector broadcast(std::uint16_t sizes) { return _mm256_set1_epi16(static_cast<short>(sizes)); }
SPIKEGPT_INLINE ByteVector lower(ByteVector a, ByteVector b) { return _mm256_unpacklo_epi8(a, b); }
SPIKEGPT_INLINE ByteVector upper(ByteVector a, ByteVector b) { return _mm256_unpackhi_epi8(a, b); }
SPIKEGPT_INLINE ByteVector add(ByteVector sum, ByteVector sizes, ByteVector pair) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(sizes, pair));
}
#else
using ByteVector = __m512i;
SPIKEGPT_INLINE ByteVector load(const void* p) { return _mm512_loadu_si512(p); }
SPIKEGPT_INLINE void store(void* p, ByteVector v) { _mm512_storeu_si512(p, v); }
SPIKEGPT_INLINE ByteVector broadcast(std::uint16_t sizes) { return _mm512_set1_epi16(static_cast<short>(sizes)); }
SPIKEGPT_INLINE ByteVector lower(ByteVector a, ByteVector b) { return _mm512_unpacklo_epi8(a, b); }
SPIKEGPT_INLINE ByteVector upper(ByteVector a, ByteVector b) { return _mm512_unpackhi_epi8(a, b); }
SPIKEGPT_INLINE ByteVector add(ByteVector sum, ByteVector sizes, ByteVector pair) {
  return _mm512_add_epi16(sum, _mm512_maddubs_epi16(sizes, pair));
}
#endif
constexpr std::int64_t kBytes = sizeof(ByteVector);

// Adds pairs to 16-bit sums of kChunks vectors of columns, and asks for the same columns of pairs that come later. A
// chunk's sums are two vectors: of the lower and the upper halves of its blocks of 16 columns.
template <int kChunks>
SPIKEGPT_INLINE void add_pairs(const ByteColumns& columns, std::int64_t column, const InputPairs& pairs,
                               const InputPairs& later, std::int16_t* HWY_RESTRICT sums) {
  ByteVector low[kChunks];
  ByteVector high[kChunks];
  for (std::int64_t k = 0; k < kChunks; ++k) {
    low[k] = load(sums + k * kBytes);
    high[k] = load(sums + k * kBytes + kBytes / 2);
  }
  const auto ask = [&](std::int32_t input) {
    const std::int8_t* const row = columns.row(input) + column;
    for (std::int64_t byte = 0; byte < kChunks * kBytes; byte += 64) hwy::Prefetch(row + byte);
  };
  for (std::size_t i = 0; i < pairs.index.size(); i += 2) {
    const std::int8_t* const first = columns.row(pairs.index[i]) + column;
    const std::int8_t* const second = columns.row(pairs.index[i + 1]) + column;
    const ByteVector sizes = broadcast(static_cast<std::uint16_t>(pairs.size[i] | pairs.size[i + 1] << 8));
    if (i < later.index.size()) {
      ask(later.index[i]);
      ask(later.index[i + 1]);
    }
    for (std::int64_t k = 0; k < kChunks; ++k) {
      const ByteVector a = load(first + k * kBytes);
      const ByteVector b = load(second + k * kBytes);
      low[k] = add(low[k], sizes, lower(a, b));
      high[k] = add(high[k], sizes, upper(a, b));
    }
  }
  for (std::int64_t k = 0; k < kChunks; ++k) {
    store(sums + k * kBytes, low[k]);
    store(sums + k * kBytes + kBytes / 2, high[k]);
  }
}

// Moves the 16-bit sums, added or taken away, to 32-bit ones in the order of the columns, and clears them.
SPIKEGPT_INLINE void empty(std::int64_t columns, bool negative, std::int16_t* HWY_RESTRICT narrow,
                           std::int32_t* HWY_RESTRICT wide) {
  for (std::int64_t chunk = 0; chunk < columns; chunk += kBytes) {
    for (std::int64_t half = 0; half < 2; ++half) {
      for (std::int64_t block = 0; block < kBytes / 16; ++block) {
        std::int16_t* const from = narrow + chunk + half * (kBytes / 2) + block * 8;
        auto* const to = reinterpret_cast<__m256i*>(wide + chunk + block * 16 + half * 8);
        const __m256i value = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
        const __m256i sum = _mm256_loadu_si256(to);
        _mm256_storeu_si256(to, negative ? _mm256_sub_epi32(sum, value) : _mm256_add_epi32(sum, value));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(from), _mm_setzero_si128());
      }
    }
  }
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

static void gather(const ByteColumns& columns, const ActiveInputs& active, std::int32_t* HWY_RESTRICT sums) {
  alignas(64) std::int16_t narrow[kMostGathered];
  for (std::int64_t c = 0; c < columns.count; ++c) sums[c] = 0;
  for (std::int64_t c = 0; c < columns.count; ++c) narrow[c] = 0;
  for (const bool negative : {false, true}) {
    const InputPairs all = active.pairs(negative);
    std::int64_t room = kRoom;
    Group group = group_at(all, 0);
    for (std::size_t begin = 0; begin < all.count();) {
      begin += group.pairs.count();
      const Group later = begin < all.count() ? group_at(all, begin) : Group();
      if (room < group.events) {
        empty(columns.count, negative, narrow, sums);
        room = kRoom;
      }
      room -= group.events;
      std::int64_t column = 0;
      for (; column + kMany * kBytes <= columns.count; column += kMany * kBytes) {
        add_pairs<kMany>(columns, column, group.pairs, later.pairs, narrow + column);
      }
      for (; column < columns.count; column += kFew * kBytes) {
        add_pairs<kFew>(columns, column, group.pairs, later.pairs, narrow + column);
      }
      group = later;
    }
    if (all.count() > 0) empty(columns.count, negative, narrow, sums);
  }
}
static bool can_gather() { return true; }

#else

static void gather(const ByteColumns&, const ActiveInputs&, std::int32_t*) {}
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

void gather_bytes(const PackedMatrix& matrix, const ActiveInputs& active, std::int64_t begin, std::int64_t end,
                  std::int32_t* sums) noexcept {
  const auto* const first = reinterpret_cast<const std::int8_t*>(matrix.panel(0)) + begin;
  HWY_DYNAMIC_DISPATCH(gather)({first, matrix.stride(), end - begin}, active, sums);
}

}  // namespace spikegpt
#endif
