// How kernels cut their work: by shape alone, so that results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/shape.h"

namespace spikegpt {

// Neighbouring channels one scan task handles: four AVX-512 vectors, enough to hide the latency of a step.
inline constexpr std::int64_t kTileLanes = 64;
// The same for scans whose step is so short that longer runs of memory are worth more.
inline constexpr std::int64_t kWideLanes = 2 * kTileLanes;

// The channels [channel, channel + lanes) of sequence `batch`, all tokens.
struct Tile {
  std::int64_t batch = 0;
  std::int64_t channel = 0;
  std::int64_t lanes = 0;

  // Offset of the tile at token t in [B, T, C], and in [B, C].
  std::int64_t row(const SequenceShape& shape, std::int64_t t) const noexcept {
    return (batch * shape.tokens + t) * shape.channels + channel;
  }
  std::int64_t state(const SequenceShape& shape) const noexcept { return batch * shape.channels + channel; }
};

// Asks for a tile's part of the row that lies kTokensAhead tokens further: rows are too far apart for the processor to
// guess. `row` is that of the present token, `step` C, or -C in a scan that runs backwards.
inline constexpr std::int64_t kTokensAhead = 3;
template <class T>
SPIKEGPT_INLINE void prefetch_ahead(const T* row, std::int64_t step, std::int64_t lanes) noexcept {
  // As a number: near the end it points behind the tensor.
  const std::uintptr_t ahead = reinterpret_cast<std::uintptr_t>(row) +
                               static_cast<std::uintptr_t>(kTokensAhead * step * static_cast<std::int64_t>(sizeof(T)));
  const auto size = static_cast<std::uintptr_t>(lanes) * sizeof(T);
  for (std::uintptr_t byte = 0; byte < size; byte += 64)
    __builtin_prefetch(reinterpret_cast<const void*>(ahead + byte));
}

inline std::int64_t tiles_per_sequence(const SequenceShape& shape, std::int64_t lanes = kTileLanes) noexcept {
  return (shape.channels + lanes - 1) / lanes;
}
inline std::int64_t tile_count(const SequenceShape& shape, std::int64_t lanes = kTileLanes) noexcept {
  return shape.batch * tiles_per_sequence(shape, lanes);
}
inline Tile tile_at(const SequenceShape& shape, std::int64_t task, std::int64_t lanes = kTileLanes) noexcept {
  const std::int64_t per_sequence = tiles_per_sequence(shape, lanes);
  const std::int64_t channel = task % per_sequence * lanes;
  return {task / per_sequence, channel, std::min(lanes, shape.channels - channel)};
}

// The widest tiles, up to `widest` lanes, with which every thread has as much to do as any other, or nearly. For scans
// only: each channel is on its own there, so that the cut does not change a bit.
inline std::int64_t lanes_for_all_threads(const SequenceShape& shape, std::int64_t widest) noexcept {
  const std::int64_t threads = thread_count();
  std::int64_t lanes = widest;
  while (lanes > kTileLanes) {
    const std::int64_t tiles = tile_count(shape, lanes);
    if (tiles >= 4 * threads || (tiles >= threads && tiles % threads == 0)) break;
    lanes /= 2;
  }
  return lanes;
}

// A run of a long vector.
struct Piece {
  std::int64_t first = 0;
  std::int64_t size = 0;
};

inline constexpr std::int64_t kPieceSize = 32768;

inline std::int64_t piece_count(std::int64_t n, std::int64_t size = kPieceSize) noexcept {
  return (n + size - 1) / size;
}
inline Piece piece_at(std::int64_t n, std::int64_t task, std::int64_t size = kPieceSize) noexcept {
  return {task * size, std::min(size, n - task * size)};
}

// Floats that two per-channel sums of every sequence take in scratch, in whole vectors.
inline std::int64_t weight_parts_size(const SequenceShape& shape) noexcept {
  return (2 * shape.batch * shape.channels + 15) / 16 * 16;
}

// sum[c] += the parts [B, C] of each sequence, in order.
inline void add_over_batch(const SequenceShape& shape, const float* parts, float* sum) noexcept {
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t c = 0; c < shape.channels; ++c) sum[c] += parts[b * shape.channels + c];
  }
}

}  // namespace spikegpt
