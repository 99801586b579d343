#include "spikegpt/kernels/token_shift.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/token_shift.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

template <class A>
SPIKEGPT_INLINE void mix_tile(const SequenceShape& shape, const TokenShiftForward<A>& shift,
                              const Tile& tile, std::int64_t lanes) {
  alignas(64) float previous[kTileLanes];
  for (std::int64_t c = 0; c < lanes; ++c) {
    previous[c] = shift.previous ? shift.previous[tile.state(shape) + c] : 0.0f;
  }
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t row = tile.row(shape, t);
    alignas(64) float now[kTileLanes];
    for (std::int64_t c = 0; c < lanes; ++c) now[c] = to_float(shift.x[row + c]);
    for (std::size_t j = 0; j < shift.mixes; ++j) {
      if (shift.mixed[j] == nullptr) continue;
      const float* HWY_RESTRICT mu = shift.mu[j] + tile.channel;
      A* HWY_RESTRICT mixed = shift.mixed[j] + row;
      for (std::int64_t c = 0; c < lanes; ++c) {
        mixed[c] = from_float<A>(now[c] * mu[c] + previous[c] * (1.0f - mu[c]));
      }
    }
    for (std::int64_t c = 0; c < lanes; ++c) previous[c] = now[c];
  }
  if (shift.last == nullptr) return;
  for (std::int64_t c = 0; c < lanes; ++c) shift.last[tile.state(shape) + c] = previous[c];
}

// Runs backwards: x[t] reaches mixed[t] by mu and mixed[t+1] by 1 - mu.
template <class A>
SPIKEGPT_INLINE void unmix_tile(const SequenceShape& shape, const TokenShiftBackward<A>& shift,
                                const Tile& tile, std::int64_t lanes) {
  alignas(64) float d_next[kTileLanes] = {};  // what mixed[t+1] sends to x[t]
  alignas(64) float d_mu[kMaxMixes][kTileLanes] = {};
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    alignas(64) float d_x[kTileLanes];
    alignas(64) float d_previous[kTileLanes] = {};
    alignas(64) float step[kTileLanes];  // x[t] - x[t-1]
    if (t > 0) {
      const A* HWY_RESTRICT before = shift.x + row - shape.channels;
      for (std::int64_t c = 0; c < lanes; ++c) step[c] = to_float(before[c]);
    } else {
      for (std::int64_t c = 0; c < lanes; ++c) {
        step[c] = shift.previous ? shift.previous[tile.state(shape) + c] : 0.0f;
      }
    }
    const A* HWY_RESTRICT x = shift.x + row;
    for (std::int64_t c = 0; c < lanes; ++c) {
      step[c] = to_float(x[c]) - step[c];
      d_x[c] = d_next[c];
    }
    for (std::size_t j = 0; j < shift.mixes; ++j) {
      const float* HWY_RESTRICT mu = shift.mu[j] + tile.channel;
      const A* d_mixed = shift.d_mixed[j] + row;
      for (std::int64_t c = 0; c < lanes; ++c) {
        const float d = to_float(d_mixed[c]);
        d_x[c] += d * mu[c];
        d_previous[c] += d * (1.0f - mu[c]);
        d_mu[j][c] += d * step[c];
      }
    }
    A* out = shift.d_x + row;
    for (std::int64_t c = 0; c < lanes; ++c) {
      out[c] = from_float<A>(d_x[c]);
      d_next[c] = d_previous[c];
    }
  }
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    float* parts = shift.scratch + static_cast<std::int64_t>(j) * shape.batch * shape.channels + tile.state(shape);
    for (std::int64_t c = 0; c < lanes; ++c) parts[c] = d_mu[j][c];
  }
}

template <class A>
SPIKEGPT_INLINE void mix(const SequenceShape& shape, const TokenShiftForward<A>& shift,
                         const Tile& tile) {
  if (tile.lanes == kTileLanes) return mix_tile(shape, shift, tile, kTileLanes);
  mix_tile(shape, shift, tile, tile.lanes);
}
template <class A>
SPIKEGPT_INLINE void unmix(const SequenceShape& shape, const TokenShiftBackward<A>& shift,
                           const Tile& tile) {
  if (tile.lanes == kTileLanes) return unmix_tile(shape, shift, tile, kTileLanes);
  unmix_tile(shape, shift, tile, tile.lanes);
}

static void mix_f32(const SequenceShape& shape, const TokenShiftForward<float>& shift,
                    const Tile& tile) {
  mix(shape, shift, tile);
}
static void mix_bf16(const SequenceShape& shape, const TokenShiftForward<Bf16>& shift,
                     const Tile& tile) {
  mix(shape, shift, tile);
}
static void unmix_f32(const SequenceShape& shape, const TokenShiftBackward<float>& shift,
                      const Tile& tile) {
  unmix(shape, shift, tile);
}
static void unmix_bf16(const SequenceShape& shape, const TokenShiftBackward<Bf16>& shift,
                       const Tile& tile) {
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

}  // namespace

template <class A>
void token_shift_forward(const SequenceShape& shape, const TokenShiftForward<A>& shift) noexcept {
  parallel_for(tile_count(shape), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(mix_f32)(shape, shift, tile);
    } else {
      HWY_DYNAMIC_DISPATCH(mix_bf16)(shape, shift, tile);
    }
  });
}

template <class A>
void token_shift_backward(const SequenceShape& shape, const TokenShiftBackward<A>& shift) noexcept {
  parallel_for(tile_count(shape), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task);
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
