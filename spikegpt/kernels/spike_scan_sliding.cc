// The scan of neurons of kSlidingPsn: a sum over a window of inputs in place of a membrane.
#include "spikegpt/kernels/dispatch.h"
#include "spikegpt/kernels/spike_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/spike_scan_sliding.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "spikegpt/kernels/spike_scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

constexpr int kMostTaps = 32;

// Rows of one number for each neuron of a tile: of the inputs in the window, by token modulo their count.
struct Window {
  alignas(64) float rows[kMostTaps][kMostLanesBackward];
  int taps;
  SPIKEGPT_INLINE float* at(std::int64_t token) noexcept { return rows[(token + kMostTaps * taps) % taps]; }
};

// What the layer learned, for each neuron of a tile: the weights, the bias.
struct Taps {
  alignas(64) float rows[kMostTaps + 1][kMostLanesBackward];

  void read(const SequenceShape& shape, const SlidingPsn& neuron, const LearnedValues& learned,
            const Tile& tile) {
    for (int j = 0; j < neuron.learned(); ++j) {
      for (std::int64_t c = 0; c < tile.lanes; ++c) {
        rows[j][c] =
            learned.per_layer ? learned.values[j] : learned.values[j * shape.channels + tile.channel + c];
      }
    }
  }
};

// sum += w[j] x[j], tap after tap: four at a time, so that the sum stays in a register.
SPIKEGPT_INLINE void add_taps(Taps& weights, Window& window, std::int64_t oldest, std::int64_t lanes,
                              float* HWY_RESTRICT sum) {
  int j = 0;
  for (; j + 4 <= window.taps; j += 4) {
    const float* HWY_RESTRICT w0 = weights.rows[j];
    const float* HWY_RESTRICT w1 = weights.rows[j + 1];
    const float* HWY_RESTRICT w2 = weights.rows[j + 2];
    const float* HWY_RESTRICT w3 = weights.rows[j + 3];
    const float* HWY_RESTRICT x0 = window.at(oldest + j);
    const float* HWY_RESTRICT x1 = window.at(oldest + j + 1);
    const float* HWY_RESTRICT x2 = window.at(oldest + j + 2);
    const float* HWY_RESTRICT x3 = window.at(oldest + j + 3);
    for (std::int64_t c = 0; c < lanes; ++c) {
      sum[c] = sum[c] + w0[c] * x0[c] + w1[c] * x1[c] + w2[c] * x2[c] + w3[c] * x3[c];
    }
  }
  for (; j < window.taps; ++j) {
    const float* HWY_RESTRICT w = weights.rows[j];
    const float* HWY_RESTRICT x = window.at(oldest + j);
    for (std::int64_t c = 0; c < lanes; ++c) sum[c] += w[c] * x[c];
  }
}

SPIKEGPT_INLINE void copy_row(const float* from, float* HWY_RESTRICT to, std::int64_t lanes) {
  for (std::int64_t c = 0; c < lanes; ++c) to[c] = from != nullptr ? from[c] : 0.0f;
}

template <class A>
std::int64_t window_forward(const SequenceShape& shape, const NeuronParameters& p, bool smooth,
                            const SpikeScanForward<A>& scan, const Tile& tile) {
  const SlidingPsn neuron(p, p.own.sliding);
  const std::int64_t plane = shape.batch * shape.channels;
  const std::int64_t lanes = tile.lanes;
  const int past = neuron.states();
  Taps weights;
  weights.read(shape, neuron, scan.learned, tile);
  Window window;
  window.taps = neuron.taps;
  for (int i = 0; i < past; ++i) {
    const float* const from = scan.membrane_in ? scan.membrane_in + i * plane + tile.state(shape) : nullptr;
    copy_row(from, window.at(i - past), lanes);
  }
  alignas(64) float gain[kMostLanesBackward];
  for (std::int64_t c = 0; c < lanes; ++c) gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
  alignas(64) std::int32_t count[kMostLanesBackward] = {};
  alignas(64) A nowhere[kMostLanesBackward];
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t at = tile.row(shape, t);
    const A* HWY_RESTRICT current = scan.current + at;
    prefetch_ahead(current, shape.channels, lanes);
    float* HWY_RESTRICT input = window.at(t);
    for (std::int64_t c = 0; c < lanes; ++c) input[c] = to_float(from_float<A>(gain[c] * to_float(current[c])));
    alignas(64) float z[kMostLanesBackward];
    alignas(64) float spike[kMostLanesBackward];
    copy_row(weights.rows[neuron.taps], z, lanes);
    add_taps(weights, window, t - past, lanes, z);
    if (!smooth) {
      for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(from_float<A>(z[c]));
    }
    fire_row<false>(neuron.thresholds, smooth ? &p.surrogate : nullptr, nullptr, z, spike, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) {
      count[c] += static_cast<std::int32_t>(spike[c] < 0.0f ? -spike[c] : spike[c]);
    }
    A* HWY_RESTRICT spikes = scan.spikes + at;
    A* HWY_RESTRICT distance = scan.distance != nullptr ? scan.distance + at : nowhere;
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = from_float<A>(spike[c]);
    for (std::int64_t c = 0; c < lanes; ++c) distance[c] = from_float<A>(z[c]);
    if (scan.kept == nullptr) continue;
    A* HWY_RESTRICT kept = scan.kept + at;
    for (std::int64_t c = 0; c < lanes; ++c) kept[c] = from_float<A>(input[c]);
  }
  for (int i = 0; i < past && scan.membrane_out != nullptr; ++i) {
    copy_row(window.at(shape.tokens - past + i), scan.membrane_out + i * plane + tile.state(shape), lanes);
  }
  std::int64_t total = 0;
  for (std::int64_t c = 0; c < lanes; ++c) total += count[c];
  return smooth ? 0 : total;
}

// Input `token` of a tile's neurons, as the forward pass read it; tokens below 0 are those before the
// sequence.
template <class A, class D>
SPIKEGPT_INLINE void input_row(const SequenceShape& shape, const SpikeScanBackward<A, D>& scan,
                               const Tile& tile, std::int64_t token, int past, float* HWY_RESTRICT x) {
  if (token < 0) {
    const std::int64_t plane = shape.batch * shape.channels;
    copy_row(scan.membrane_in ? scan.membrane_in + (past + token) * plane + tile.state(shape) : nullptr, x, tile.lanes);
    return;
  }
  const A* HWY_RESTRICT kept = scan.kept + tile.row(shape, token);
  prefetch_ahead(kept, -shape.channels, tile.lanes);
  for (std::int64_t c = 0; c < tile.lanes; ++c) x[c] = to_float(kept[c]);
}

// d_h [lanes] of token t: the gradient of the sum over its window.
template <class A, class D>
SPIKEGPT_INLINE void d_sum_row(const NeuronParameters& p, bool smooth, const SpikeScanBackward<A, D>& scan,
                               std::int64_t row, std::int64_t lanes, float* HWY_RESTRICT d_h) {
  alignas(64) float z[kMostLanesBackward];
  alignas(64) float gradient[kMostLanesBackward];
  const A* HWY_RESTRICT distance = scan.distance + row;
  const D* const d_spikes = scan.d_spikes + row;
  for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(distance[c]);
  for (std::int64_t c = 0; c < lanes; ++c) d_h[c] = to_float(d_spikes[c]);
  spike_gradient_row(p, z, gradient, lanes);
  if (scan.activity_cost != 0.0f) {
    alignas(64) float spike[kMostLanesBackward];
    fire_row<false>(p.thresholds(), smooth ? &p.surrogate : nullptr, nullptr, z, spike, lanes);
    const float cost = scan.activity_cost;
    for (std::int64_t c = 0; c < lanes; ++c) {
      d_h[c] += spike[c] > 0.0f ? cost : (spike[c] < 0.0f ? -cost : 0.0f);
    }
  }
  for (std::int64_t c = 0; c < lanes; ++c) d_h[c] *= gradient[c];
}

template <class A, class D>
void window_backward(const SequenceShape& shape, const NeuronParameters& p, bool smooth,
                     const SpikeScanBackward<A, D>& scan, const Tile& tile) {
  const SlidingPsn neuron(p, p.own.sliding);
  const std::int64_t plane = shape.batch * shape.channels;
  const std::int64_t first = tile.state(shape);
  const std::int64_t lanes = tile.lanes;
  const int past = neuron.states();
  Taps weights;
  weights.read(shape, neuron, scan.learned, tile);
  Taps sums = {};
  Window d_input;  // gradient of the inputs in the window so far
  Window input;
  d_input.taps = input.taps = neuron.taps;
  for (int i = 0; i < past; ++i) {
    const std::int64_t token = shape.tokens - past + i;
    copy_row(scan.d_membrane_out ? scan.d_membrane_out + i * plane + first : nullptr, d_input.at(token), lanes);
    input_row(shape, scan, tile, token, past, input.at(token));
  }
  alignas(64) float gain[kMostLanesBackward];
  for (std::int64_t c = 0; c < lanes; ++c) gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
  alignas(64) float d_gain[kMostLanesBackward] = {};
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    alignas(64) float d_h[kMostLanesBackward];
    d_sum_row(p, smooth, scan, row, lanes, d_h);
    for (std::int64_t c = 0; c < lanes; ++c) sums.rows[neuron.taps][c] += d_h[c];
    // The oldest input of the window is new to it.
    copy_row(nullptr, d_input.at(t - past), lanes);
    input_row(shape, scan, tile, t - past, past, input.at(t - past));
    for (int j = 0; j < neuron.taps; ++j) {
      const float* HWY_RESTRICT x = input.at(t - past + j);
      const float* HWY_RESTRICT w = weights.rows[j];
      float* HWY_RESTRICT d_x = d_input.at(t - past + j);
      float* HWY_RESTRICT d_w = sums.rows[j];
      for (std::int64_t c = 0; c < lanes; ++c) {
        d_x[c] += w[c] * d_h[c];
        d_w[c] += d_h[c] * x[c];
      }
    }
    const float* HWY_RESTRICT d_x = d_input.at(t);
    A* HWY_RESTRICT d_current = scan.d_current + row;
    for (std::int64_t c = 0; c < lanes; ++c) d_current[c] = from_float<A>(d_x[c] * gain[c]);
    if (scan.gain == nullptr) continue;
    const A* HWY_RESTRICT current = scan.current + row;
    for (std::int64_t c = 0; c < lanes; ++c) d_gain[c] += d_x[c] * to_float(current[c]);
  }
  if (scan.gain) copy_row(d_gain, scan.scratch + first, lanes);
  for (int j = 0; j < neuron.learned(); ++j) copy_row(sums.rows[j], scan.scratch + (1 + j) * plane + first, lanes);
  for (int i = 0; i < past && scan.d_membrane_in != nullptr; ++i) {
    copy_row(d_input.at(i - past), scan.d_membrane_in + i * plane + first, lanes);
  }
}

static std::int64_t window_forward_f32(const SequenceShape& shape, const NeuronParameters& neuron,
                                       bool smooth, const SpikeScanForward<float>& scan, const Tile& tile) {
  return window_forward(shape, neuron, smooth, scan, tile);
}
static std::int64_t window_forward_bf16(const SequenceShape& shape, const NeuronParameters& neuron,
                                        bool smooth, const SpikeScanForward<Bf16>& scan, const Tile& tile) {
  return window_forward(shape, neuron, smooth, scan, tile);
}
static void window_backward_f32(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                const SpikeScanBackward<float, float>& scan, const Tile& tile) {
  window_backward(shape, neuron, smooth, scan, tile);
}
static void window_backward_bf16(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                 const SpikeScanBackward<Bf16, Bf16>& scan, const Tile& tile) {
  window_backward(shape, neuron, smooth, scan, tile);
}
static void window_backward_mixed(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                  const SpikeScanBackward<Bf16, float>& scan, const Tile& tile) {
  window_backward(shape, neuron, smooth, scan, tile);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(window_forward_f32);
HWY_EXPORT(window_forward_bf16);
HWY_EXPORT(window_backward_f32);
HWY_EXPORT(window_backward_bf16);
HWY_EXPORT(window_backward_mixed);

// A tile of the scan may be wider than the rows here: it is cut.
template <class Function>
void in_parts(const Tile& tile, const Function& function) {
  for (std::int64_t first = 0; first < tile.lanes; first += kMostLanesBackward) {
    function(Tile{tile.batch, tile.channel + first, std::min(kMostLanesBackward, tile.lanes - first)});
  }
}

}  // namespace

template <class A>
std::int64_t sliding_forward_tile(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                  const SpikeScanForward<A>& scan, const Tile& tile) noexcept {
  std::int64_t total = 0;
  in_parts(tile, [&](const Tile& part) {
    if constexpr (std::is_same_v<A, float>) {
      total += HWY_DYNAMIC_DISPATCH(window_forward_f32)(shape, neuron, smooth, scan, part);
    } else {
      total += HWY_DYNAMIC_DISPATCH(window_forward_bf16)(shape, neuron, smooth, scan, part);
    }
  });
  return total;
}

template <class A, class D>
void sliding_backward_tile(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                           const SpikeScanBackward<A, D>& scan, const Tile& tile) noexcept {
  if constexpr (std::is_same_v<A, float>) {
    HWY_DYNAMIC_DISPATCH(window_backward_f32)(shape, neuron, smooth, scan, tile);
  } else if constexpr (std::is_same_v<D, Bf16>) {
    HWY_DYNAMIC_DISPATCH(window_backward_bf16)(shape, neuron, smooth, scan, tile);
  } else {
    HWY_DYNAMIC_DISPATCH(window_backward_mixed)(shape, neuron, smooth, scan, tile);
  }
}

template std::int64_t sliding_forward_tile(const SequenceShape&, const NeuronParameters&, bool,
                                           const SpikeScanForward<float>&, const Tile&) noexcept;
template std::int64_t sliding_forward_tile(const SequenceShape&, const NeuronParameters&, bool,
                                           const SpikeScanForward<Bf16>&, const Tile&) noexcept;
template void sliding_backward_tile(const SequenceShape&, const NeuronParameters&, bool,
                                    const SpikeScanBackward<float, float>&, const Tile&) noexcept;
template void sliding_backward_tile(const SequenceShape&, const NeuronParameters&, bool,
                                    const SpikeScanBackward<Bf16, Bf16>&, const Tile&) noexcept;
template void sliding_backward_tile(const SequenceShape&, const NeuronParameters&, bool,
                                    const SpikeScanBackward<Bf16, float>&, const Tile&) noexcept;

}  // namespace spikegpt
#endif
