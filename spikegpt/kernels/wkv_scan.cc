#include "spikegpt/kernels/wkv_scan.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/wkv_scan.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/exponential.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

using Lanes = float[kTileLanes];

// The attention memory of a tile.
struct TileState {
  alignas(64) Lanes numerator;
  alignas(64) Lanes denominator;
  alignas(64) Lanes max_exponent;

  void load(const WkvState& state, std::int64_t offset, std::int64_t lanes) {
    for (std::int64_t c = 0; c < lanes; ++c) {
      numerator[c] = state.numerator ? state.numerator[offset + c] : 0.0f;
      denominator[c] = state.numerator ? state.denominator[offset + c] : 0.0f;
      max_exponent[c] = state.numerator ? state.max_exponent[offset + c] : kEmptyMaxExponent;
    }
  }
  void store(const WkvState& state, std::int64_t offset, std::int64_t lanes) const {
    if (state.numerator == nullptr) return;
    for (std::int64_t c = 0; c < lanes; ++c) {
      state.numerator[offset + c] = numerator[c];
      state.denominator[offset + c] = denominator[c];
      state.max_exponent[offset + c] = max_exponent[c];
    }
  }
};

// e^(a - max(a, b)) and e^(b - max(a, b)) with one exponential: one of the two is 1.
struct ScaledPair {
  float a;
  float b;
  float max;
};
SPIKEGPT_INLINE ScaledPair scale_pair(float a, float b) {
  const float difference = a - b;
  const float smaller = fast_exp(difference < 0.0f ? difference : -difference);
  return {difference < 0.0f ? smaller : 1.0f, difference < 0.0f ? 1.0f : smaller, difference < 0.0f ? b : a};
}

// A pair in one float: the exponential that is not 1, with the sign set where it is b's.
SPIKEGPT_INLINE float pack_pair(const ScaledPair& pair) { return pair.a < 1.0f ? pair.a : -pair.b; }
SPIKEGPT_INLINE ScaledPair unpack_pair(float packed) {
  const bool is_b = std::bit_cast<std::int32_t>(packed) < 0;
  return {is_b ? 1.0f : packed, is_b ? -packed : 1.0f, 0.0f};
}

// Decay rates and bonuses of a tile.
struct TileWeights {
  alignas(64) Lanes decay_rate;  // e^w
  alignas(64) Lanes time_first;

  TileWeights(const WkvWeights& weights, const Tile& tile, std::int64_t lanes) {
    for (std::int64_t c = 0; c < lanes; ++c) {
      decay_rate[c] = fast_exp(weights.time_decay[tile.channel + c]);
      time_first[c] = weights.time_first[tile.channel + c];
    }
  }
};

template <class A>
SPIKEGPT_INLINE void forward_scan(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<A>& scan,
                                  const Tile& tile, std::int64_t lanes) {
  const TileWeights w(weights, tile, lanes);
  TileState state;
  state.load(scan.in, tile.state(shape), lanes);
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t row = tile.row(shape, t);
    const A* HWY_RESTRICT receptance = scan.receptance + row;
    const A* HWY_RESTRICT key = scan.key + row;
    const A* HWY_RESTRICT value = scan.value + row;
    A* HWY_RESTRICT output = scan.output + row;
    for (const A* input : {receptance, key, value}) prefetch_ahead(input, shape.channels, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float k = to_float(key[c]);
      const float v = to_float(value[c]);
      const float o = state.max_exponent[c];
      const ScaledPair now = scale_pair(o, w.time_first[c] + k);
      const float wkv = (now.a * state.numerator[c] + now.b * v) / (now.a * state.denominator[c] + now.b);
      output[c] = from_float<A>(sigmoid(to_float(receptance[c])) * wkv);
      const ScaledPair next = scale_pair(o - w.decay_rate[c], k);
      state.numerator[c] = next.a * state.numerator[c] + next.b * v;
      state.denominator[c] = next.a * state.denominator[c] + next.b;
      state.max_exponent[c] = next.max;
    }
  }
  state.store(scan.out, tile.state(shape), lanes);
}

// What the forward half of the backward pass leaves for its reverse half, per token of a tile.
struct TokenRecord {
  alignas(64) Lanes now;          // the pair that weighs memory and token in the output
  alignas(64) Lanes next;         // the pair that weighs them in the next state
  alignas(64) Lanes d_numerator;  // d_wkv / denominator
  alignas(64) Lanes wkv;
};

// Gradient accumulators of a tile over its tokens.
struct TileSums {
  alignas(64) Lanes d_time_first = {};
  alignas(64) Lanes d_decay_rate = {};
};

// Forward half: makes the scan again, applies the gate's derivative, and accumulates d e^w in forward mode:
// `numerator_slope` is the derivative of the true numerator by the decay rate, at the same max_exponent.
template <class A>
SPIKEGPT_INLINE void replay(const SequenceShape& shape, const TileWeights& w, const WkvBackward<A>& scan,
                            const Tile& tile, std::int64_t lanes, TokenRecord* HWY_RESTRICT records, TileSums& sums) {
  TileState state;
  state.load(scan.in, tile.state(shape), lanes);
  alignas(64) Lanes numerator_slope = {};
  alignas(64) Lanes denominator_slope = {};
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t row = tile.row(shape, t);
    const A* HWY_RESTRICT receptance = scan.receptance + row;
    const A* HWY_RESTRICT key = scan.key + row;
    const A* HWY_RESTRICT value = scan.value + row;
    const A* d_output = scan.d_output + row;
    A* d_receptance = scan.d_receptance + row;
    TokenRecord& record = records[t];
    for (const A* input : {receptance, key, value, d_output}) prefetch_ahead(input, shape.channels, lanes);
    alignas(64) Lanes d_gated;
    for (std::int64_t c = 0; c < lanes; ++c) d_gated[c] = to_float(d_output[c]);
    alignas(64) Lanes d_gate;
    alignas(64) Lanes gated;
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float k = to_float(key[c]);
      const float v = to_float(value[c]);
      const float o = state.max_exponent[c];
      const ScaledPair now = scale_pair(o, w.time_first[c] + k);
      const float inverse = 1.0f / (now.a * state.denominator[c] + now.b);
      const float wkv = (now.a * state.numerator[c] + now.b * v) * inverse;
      const float gate = sigmoid(to_float(receptance[c]));
      gated[c] = gate * wkv;
      d_gate[c] = d_gated[c] * wkv * gate * (1.0f - gate);
      const float d_numerator = d_gated[c] * gate * inverse;
      record.now[c] = pack_pair(now);
      record.d_numerator[c] = d_numerator;
      record.wkv[c] = wkv;
      sums.d_time_first[c] += now.b * d_numerator * (v - wkv);
      sums.d_decay_rate[c] += d_numerator * now.a * (numerator_slope[c] - wkv * denominator_slope[c]);
      const ScaledPair next = scale_pair(o - w.decay_rate[c], k);
      record.next[c] = pack_pair(next);
      numerator_slope[c] = next.a * (numerator_slope[c] - state.numerator[c]);
      denominator_slope[c] = next.a * (denominator_slope[c] - state.denominator[c]);
      state.numerator[c] = next.a * state.numerator[c] + next.b * v;
      state.denominator[c] = next.a * state.denominator[c] + next.b;
      state.max_exponent[c] = next.max;
    }
    for (std::int64_t c = 0; c < lanes; ++c) d_receptance[c] = from_float<A>(d_gate[c]);
    if (scan.output == nullptr) continue;
    for (std::int64_t c = 0; c < lanes; ++c) scan.output[row + c] = from_float<A>(gated[c]);
  }
  if (scan.d_state_out.numerator == nullptr) return;
  const float* d_numerator = scan.d_state_out.numerator + tile.state(shape);
  const float* d_denominator = scan.d_state_out.denominator + tile.state(shape);
  for (std::int64_t c = 0; c < lanes; ++c) {
    sums.d_decay_rate[c] += d_numerator[c] * numerator_slope[c] + d_denominator[c] * denominator_slope[c];
  }
}

// Reverse half: d_key and d_value from the gradient of the sums, which runs backwards in time. The exponents that the
// forward half subtracted cancel from the result, so they are constants here; all weights are then between 0 and 1.
template <class A>
SPIKEGPT_INLINE void reverse(const SequenceShape& shape, const WkvBackward<A>& scan, const Tile& tile,
                             std::int64_t lanes, const TokenRecord* HWY_RESTRICT records) {
  alignas(64) Lanes d_numerator = {};  // of the sums after token t
  alignas(64) Lanes d_denominator = {};
  if (scan.d_state_out.numerator != nullptr) {
    std::copy_n(scan.d_state_out.numerator + tile.state(shape), lanes, d_numerator);
    std::copy_n(scan.d_state_out.denominator + tile.state(shape), lanes, d_denominator);
  }
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    const A* HWY_RESTRICT value = scan.value + row;
    A* HWY_RESTRICT d_key = scan.d_key + row;
    A* HWY_RESTRICT d_value = scan.d_value + row;
    const TokenRecord& record = records[t];
    prefetch_ahead(value, -shape.channels, lanes);
    SPIKEGPT_INDEPENDENT_ITERATIONS
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float v = to_float(value[c]);
      const float wkv = record.wkv[c];
      const float d_output = record.d_numerator[c];
      const ScaledPair now = unpack_pair(record.now[c]);
      const ScaledPair next = unpack_pair(record.next[c]);
      const float from_now = now.b * d_output;
      const float from_later = next.b * d_numerator[c];
      d_value[c] = from_float<A>(from_now + from_later);
      d_key[c] = from_float<A>(from_now * (v - wkv) + from_later * v + next.b * d_denominator[c]);
      const float to_memory = now.a * d_output;
      d_numerator[c] = next.a * d_numerator[c] + to_memory;
      d_denominator[c] = next.a * d_denominator[c] - to_memory * wkv;
    }
  }
  if (scan.d_state_in.numerator == nullptr) return;
  std::copy_n(d_numerator, lanes, scan.d_state_in.numerator + tile.state(shape));
  std::copy_n(d_denominator, lanes, scan.d_state_in.denominator + tile.state(shape));
}

template <class A>
SPIKEGPT_INLINE void backward_scan(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<A>& scan,
                                   const Tile& tile, std::int64_t lanes, TokenRecord* records, float* parts) {
  const TileWeights w(weights, tile, lanes);
  TileSums sums;
  replay(shape, w, scan, tile, lanes, records, sums);
  reverse(shape, scan, tile, lanes, records);
  float* d_time_decay = parts + tile.state(shape);
  float* d_time_first = parts + shape.batch * shape.channels + tile.state(shape);
  for (std::int64_t c = 0; c < lanes; ++c) {
    d_time_decay[c] = sums.d_decay_rate[c] * w.decay_rate[c];
    d_time_first[c] = sums.d_time_first[c];
  }
}

template <class A>
SPIKEGPT_INLINE void forward_tile(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<A>& scan,
                                  const Tile& tile) {
  if (tile.lanes == kTileLanes) return forward_scan(shape, weights, scan, tile, kTileLanes);
  forward_scan(shape, weights, scan, tile, tile.lanes);
}

static void wkv_forward_f32(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<float>& scan,
                            const Tile& tile) {
  forward_tile(shape, weights, scan, tile);
}
static void wkv_forward_bf16(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<Bf16>& scan,
                             const Tile& tile) {
  forward_tile(shape, weights, scan, tile);
}

template <class A>
SPIKEGPT_INLINE void backward_tile(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<A>& scan,
                                   const Tile& tile, TokenRecord* records) {
  if (tile.lanes == kTileLanes) {
    return backward_scan(shape, weights, scan, tile, kTileLanes, records, scan.scratch);
  }
  backward_scan(shape, weights, scan, tile, tile.lanes, records, scan.scratch);
}

// The records of a worker lie behind the parts [2, B, C] of the weight gradients.
template <class A>
SPIKEGPT_INLINE TokenRecord* records_of(const SequenceShape& shape, const WkvBackward<A>& scan, int worker) {
  float* records = scan.scratch + weight_parts_size(shape);
  return reinterpret_cast<TokenRecord*>(records) + worker * shape.tokens;
}

static void wkv_backward_f32(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<float>& scan,
                             const Tile& tile, int worker) {
  backward_tile(shape, weights, scan, tile, records_of(shape, scan, worker));
}
static void wkv_backward_bf16(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<Bf16>& scan,
                              const Tile& tile, int worker) {
  backward_tile(shape, weights, scan, tile, records_of(shape, scan, worker));
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(wkv_forward_f32);
HWY_EXPORT(wkv_forward_bf16);
HWY_EXPORT(wkv_backward_f32);
HWY_EXPORT(wkv_backward_bf16);

}  // namespace

template <class A>
void wkv_forward(const SequenceShape& shape, const WkvWeights& weights, const WkvForward<A>& scan) noexcept {
  const KernelTimer timer({.name = "WKV forward", .bytes = bytes_of<A>(shape.size(), 4, 0)});
  parallel_for(tile_count(shape), 8 * shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(wkv_forward_f32)(shape, weights, scan, tile);
    } else {
      HWY_DYNAMIC_DISPATCH(wkv_forward_bf16)(shape, weights, scan, tile);
    }
  });
}

template <class A>
void wkv_backward(const SequenceShape& shape, const WkvWeights& weights, const WkvBackward<A>& scan) noexcept {
  const KernelTimer timer({.name = "WKV backward", .bytes = bytes_of<A>(shape.size(), 7, 0)});
  parallel_for(tile_count(shape), 8 * shape.size(), [&](std::int64_t task, int worker) {
    const Tile tile = tile_at(shape, task);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(wkv_backward_f32)(shape, weights, scan, tile, worker);
    } else {
      HWY_DYNAMIC_DISPATCH(wkv_backward_bf16)(shape, weights, scan, tile, worker);
    }
  });
  add_over_batch(shape, scan.scratch, scan.d_time_decay);
  add_over_batch(shape, scan.scratch + shape.batch * shape.channels, scan.d_time_first);
}

std::int64_t wkv_scratch_size(const SequenceShape& shape) noexcept {
  constexpr std::int64_t kFloatsPerRecord = 4 * kTileLanes;
  return weight_parts_size(shape) + thread_count() * shape.tokens * kFloatsPerRecord;
}

template void wkv_forward(const SequenceShape&, const WkvWeights&, const WkvForward<float>&) noexcept;
template void wkv_forward(const SequenceShape&, const WkvWeights&, const WkvForward<Bf16>&) noexcept;
template void wkv_backward(const SequenceShape&, const WkvWeights&, const WkvBackward<float>&) noexcept;
template void wkv_backward(const SequenceShape&, const WkvWeights&, const WkvBackward<Bf16>&) noexcept;

}  // namespace spikegpt
#endif
