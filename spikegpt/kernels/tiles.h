// How kernels cut their work: by shape alone, so that results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "spikegpt/kernels/shape.h"

namespace spikegpt {

// Neighbouring channels one scan task handles: four AVX-512 vectors, enough to hide the latency of a step.
inline constexpr std::int64_t kTileLanes = 64;

// The channels [channel, channel + lanes) of sequence `batch`, all tokens.
struct Tile {
  std::int64_t batch = 0;
  std::int64_t channel = 0;
  std::int64_t lanes = 0;

  // Offset of the tile at token t in [B, T, C], and in [B, C].
  std::int64_t row(const SequenceShape& shape, std::int64_t t) const noexcept {
    return (batch * shape.tokens + t) * shape.channels + channel;
  }
  std::int64_t state(const SequenceShape& shape) const noexcept {
    return batch * shape.channels + channel;
  }
};

inline std::int64_t tiles_per_sequence(const SequenceShape& shape) noexcept {
  return (shape.channels + kTileLanes - 1) / kTileLanes;
}
inline std::int64_t tile_count(const SequenceShape& shape) noexcept {
  return shape.batch * tiles_per_sequence(shape);
}
inline Tile tile_at(const SequenceShape& shape, std::int64_t task) noexcept {
  const std::int64_t per_sequence = tiles_per_sequence(shape);
  const std::int64_t channel = task % per_sequence * kTileLanes;
  return {task / per_sequence, channel, std::min(kTileLanes, shape.channels - channel)};
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
