#include "spikegpt/kernels/token_shift.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/token_shift.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

// The mixes that are wanted of one row, from it and the row before (null = 0). `row` is where it goes.
template <std::size_t kMixes, class A, class Before>
SPIKEGPT_INLINE void mix_row(const TokenShiftForward<A>& shift, std::int64_t row, const A* now, const Before* before,
                             std::int64_t channels) {
  SPIKEGPT_INDEPENDENT_ITERATIONS
  for (std::int64_t c = 0; c < channels; ++c) {
    const float x = to_float(now[c]);
    const float previous = before != nullptr ? to_float(before[c]) : 0.0f;
    for (std::size_t j = 0; j < kMixes; ++j) {
      const float mu = shift.mu[j][c];
      shift.mixed[j][row + c] = from_float<A>(shift.scale * (x * mu + previous * (1.0f - mu)));
    }
  }
}

template <std::size_t kMixes, class A>
SPIKEGPT_INLINE void mix_rows(const SequenceShape& shape, const TokenShiftForward<A>& shift, const Piece& rows) {
  for (std::int64_t row = rows.first; row < rows.first + rows.size; ++row) {
    const std::int64_t begin = row * shape.channels;
    const A* const now = shift.x + row * shift.stride;
    if (row % shape.tokens != 0) {
      mix_row<kMixes>(shift, begin, now, now - shift.stride, shape.channels);
    } else {
      const std::int64_t state = row / shape.tokens * shift.stride;
      mix_row<kMixes>(shift, begin, now, shift.previous ? shift.previous + state : nullptr, shape.channels);
    }
  }
}

// Runs backwards: x[t] reaches mixed[t] by mu and mixed[t+1] by 1 - mu. One loop over the lanes, with the number of
// mixes known, keeps all sums of a lane in registers.
template <class A, std::size_t kMixes>
SPIKEGPT_INLINE void unmix_tile(const SequenceShape& shape, const TokenShiftBackward<A>& shift, const Tile& tile,
                                std::int64_t lanes) {
  alignas(64) float d_next[kWideLanes] = {};  // what mixed[t+1] sends to x[t]
  alignas(64) float d_mu[kMixes][kWideLanes] = {};
  alignas(64) float mu[kMixes][kWideLanes];
  alignas(64) float x[kWideLanes];  // [t]
  const SequenceShape wide = {shape.batch, shape.tokens, shift.stride};
  for (std::int64_t c = 0; c < lanes && shape.tokens > 0; ++c) {
    x[c] = to_float(shift.x[tile.row(wide, shape.tokens - 1) + c]);
  }
  for (std::size_t j = 0; j < kMixes; ++j) {
    for (std::int64_t c = 0; c < lanes; ++c) mu[j][c] = shift.mu[j][tile.channel + c];
  }
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    const std::int64_t wide_row = tile.row(wide, t);
    alignas(64) float before[kWideLanes];  // x[t-1]
    for (std::int64_t c = 0; c < lanes; ++c) {
      if (t > 0) {
        before[c] = to_float(shift.x[wide_row - shift.stride + c]);
      } else {
        before[c] = shift.previous ? shift.previous[tile.state(wide) + c] : 0.0f;
      }
    }
    const A* d_mixed[kMixes];
    for (std::size_t j = 0; j < kMixes; ++j) d_mixed[j] = shift.d_mixed[j] + row;
    prefetch_ahead(shift.x + wide_row, -shift.stride, lanes);
    for (const A* input : d_mixed) prefetch_ahead(input, -shape.channels, lanes);
    A* const out = shift.d_x + wide_row;
    SPIKEGPT_INDEPENDENT_ITERATIONS
    for (std::int64_t c = 0; c < lanes; ++c) {
      float d_x = d_next[c];
      float d_previous = 0.0f;
      for (std::size_t j = 0; j < kMixes; ++j) {
        const float d = shift.scale * to_float(d_mixed[j][c]);
        d_x += d * mu[j][c];
        d_previous += d * (1.0f - mu[j][c]);
        d_mu[j][c] += d * (x[c] - before[c]);
      }
      out[c] = from_float<A>(d_x);
      d_next[c] = d_previous;
      x[c] = before[c];
    }
  }
  for (std::size_t j = 0; j < kMixes; ++j) {
    float* parts = shift.scratch + static_cast<std::int64_t>(j) * shape.batch * shape.channels + tile.state(shape);
    for (std::int64_t c = 0; c < lanes; ++c) parts[c] = d_mu[j][c];
  }
}

template <class A>
SPIKEGPT_INLINE void mix(const SequenceShape& shape, const TokenShiftForward<A>& shift, const Piece& rows) {
  if (shift.mixes == 3) return mix_rows<3>(shape, shift, rows);
  if (shift.mixes == 2) return mix_rows<2>(shape, shift, rows);
  mix_rows<1>(shape, shift, rows);
}
template <class A, std::size_t kMixes>
SPIKEGPT_INLINE void unmix_lanes(const SequenceShape& shape, const TokenShiftBackward<A>& shift, const Tile& tile) {
  if (tile.lanes == kWideLanes) return unmix_tile<A, kMixes>(shape, shift, tile, kWideLanes);
  if (tile.lanes == kTileLanes) return unmix_tile<A, kMixes>(shape, shift, tile, kTileLanes);
  unmix_tile<A, kMixes>(shape, shift, tile, tile.lanes);
}
template <class A>
SPIKEGPT_INLINE void unmix(const SequenceShape& shape, const TokenShiftBackward<A>& shift, const Tile& tile) {
  if (shift.mixes == 3) return unmix_lanes<A, 3>(shape, shift, tile);
  if (shift.mixes == 2) return unmix_lanes<A, 2>(shape, shift, tile);
  unmix_lanes<A, 1>(shape, shift, tile);
}

static void mix_f32(const SequenceShape& shape, const TokenShiftForward<float>& shift, const Piece& rows) {
  mix(shape, shift, rows);
}
static void mix_bf16(const SequenceShape& shape, const TokenShiftForward<Bf16>& shift, const Piece& rows) {
  mix(shape, shift, rows);
}
static void unmix_f32(const SequenceShape& shape, const TokenShiftBackward<float>& shift, const Tile& tile) {
  unmix(shape, shift, tile);
}
static void unmix_bf16(const SequenceShape& shape, const TokenShiftBackward<Bf16>& shift, const Tile& tile) {
  unmix(shape, shift, tile);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(mix_f32);
HWY_EXPORT(mix_bf16);
HWY_EXPORT(unmix_f32);
HWY_EXPORT(unmix_bf16);

// Rows one task mixes: a run of memory long enough to be read ahead of, short enough to share among threads.
constexpr std::int64_t kRowsPerTask = 32;

// Those that have somewhere to go, side by side.
template <class A>
TokenShiftForward<A> wanted_mixes(TokenShiftForward<A> shift) {
  std::size_t wanted = 0;
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    if (shift.mixed[j] == nullptr) continue;
    shift.mu[wanted] = shift.mu[j];
    shift.mixed[wanted++] = shift.mixed[j];
  }
  shift.mixes = wanted;
  return shift;
}

template <class A>
void keep_last_tokens(const SequenceShape& shape, const TokenShiftForward<A>& shift) {
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    float* const last = shift.last + b * shift.stride;
    const float* const previous = shift.previous ? shift.previous + b * shift.stride : nullptr;
    const std::int64_t row = ((b + 1) * shape.tokens - 1) * shift.stride;
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      last[c] = shape.tokens > 0 ? to_float(shift.x[row + c]) : (previous ? previous[c] : 0.0f);
    }
  }
}

}  // namespace

template <class A>
void token_shift_forward(const SequenceShape& shape, const TokenShiftForward<A>& shift) noexcept {
  const KernelTimer timer(
      {.name = "token shift forward", .bytes = bytes_of<A>(shape.size(), 1 + static_cast<int>(shift.mixes), 0)});
  TokenShiftForward<A> wanted = wanted_mixes(shift);
  if (wanted.stride == 0) wanted.stride = shape.channels;
  const std::int64_t tasks = wanted.mixes == 0 ? 0 : piece_count(shape.rows(), kRowsPerTask);
  parallel_for(tasks, shape.size(), [&](std::int64_t task) {
    const Piece rows = piece_at(shape.rows(), task, kRowsPerTask);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(mix_f32)(shape, wanted, rows);
    } else {
      HWY_DYNAMIC_DISPATCH(mix_bf16)(shape, wanted, rows);
    }
  });
  if (wanted.last != nullptr) keep_last_tokens(shape, wanted);
}

template <class A>
void token_shift_backward(const SequenceShape& shape, const TokenShiftBackward<A>& given) noexcept {
  TokenShiftBackward<A> shift = given;
  if (shift.stride == 0) shift.stride = shape.channels;
  const KernelTimer timer(
      {.name = "token shift backward", .bytes = bytes_of<A>(shape.size(), 2 + static_cast<int>(shift.mixes), 0)});
  parallel_for(tile_count(shape, kWideLanes), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task, kWideLanes);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(unmix_f32)(shape, shift, tile);
    } else {
      HWY_DYNAMIC_DISPATCH(unmix_bf16)(shape, shift, tile);
    }
  });
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    const float* parts = shift.scratch + static_cast<std::int64_t>(j) * shape.batch * shape.channels;
    add_over_batch(shape, parts, shift.d_mu[j]);
  }
}

std::int64_t token_shift_scratch_size(const SequenceShape& shape) noexcept {
  return static_cast<std::int64_t>(kMaxMixes) * shape.batch * shape.channels;
}

template void token_shift_forward(const SequenceShape&, const TokenShiftForward<float>&) noexcept;
template void token_shift_forward(const SequenceShape&, const TokenShiftForward<Bf16>&) noexcept;
template void token_shift_backward(const SequenceShape&, const TokenShiftBackward<float>&) noexcept;
template void token_shift_backward(const SequenceShape&, const TokenShiftBackward<Bf16>&) noexcept;

}  // namespace spikegpt
#endif
