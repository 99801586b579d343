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
    float* const row = window.at(i - past);
    for (std::int64_t c = 0; c < lanes; ++c) {
      row[c] = scan.membrane_in ? scan.membrane_in[i * plane + tile.state(shape) + c] : 0.0f;
    }
  }
  std::int64_t total = 0;
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t at = tile.row(shape, t);
    float* HWY_RESTRICT input = window.at(t);
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float gain = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
      input[c] = to_float(from_float<A>(gain * to_float(scan.current[at + c])));
    }
    alignas(64) float z[kMostLanesBackward];
    alignas(64) float spike[kMostLanesBackward];
    for (std::int64_t c = 0; c < lanes; ++c) z[c] = weights.rows[neuron.taps][c];
    for (int j = 0; j < neuron.taps; ++j) {
      const float* HWY_RESTRICT x = window.at(t - past + j);
      for (std::int64_t c = 0; c < lanes; ++c) z[c] += weights.rows[j][c] * x[c];
    }
    if (!smooth) {
      for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(from_float<A>(z[c]));
    }
    fire_row<false>(neuron.thresholds, smooth ? &p.surrogate : nullptr, nullptr, z, spike, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) {
      total += static_cast<std::int64_t>(spike[c] < 0.0f ? -spike[c] : spike[c]);
      scan.spikes[at + c] = from_float<A>(spike[c]);
    }
    if (scan.distance != nullptr) {
      for (std::int64_t c = 0; c < lanes; ++c) scan.distance[at + c] = from_float<A>(z[c]);
    }
    if (scan.kept != nullptr) {
      for (std::int64_t c = 0; c < lanes; ++c) scan.kept[at + c] = from_float<A>(input[c]);
    }
  }
  for (int i = 0; i < past && scan.membrane_out != nullptr; ++i) {
    const float* const row = window.at(shape.tokens - past + i);
    for (std::int64_t c = 0; c < lanes; ++c) scan.membrane_out[i * plane + tile.state(shape) + c] = row[c];
  }
  return smooth ? 0 : total;
}

// Input `token` of a tile's neurons, as the forward pass read it; tokens below 0 are those before the
// sequence.
template <class A, class D>
SPIKEGPT_INLINE void input_row(const SequenceShape& shape, const SpikeScanBackward<A, D>& scan,
                               const Tile& tile, std::int64_t token, int past, float* HWY_RESTRICT x) {
  const std::int64_t plane = shape.batch * shape.channels;
  for (std::int64_t c = 0; c < tile.lanes; ++c) {
    if (token >= 0) {
      x[c] = to_float(scan.kept[tile.row(shape, token) + c]);
    } else {
      x[c] = scan.membrane_in ? scan.membrane_in[(past + token) * plane + tile.state(shape) + c] : 0.0f;
    }
  }
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
  d_input.taps = neuron.taps;
  for (int i = 0; i < past; ++i) {
    float* const row = d_input.at(shape.tokens - past + i);
    for (std::int64_t c = 0; c < lanes; ++c) {
      row[c] = scan.d_membrane_out ? scan.d_membrane_out[i * plane + first + c] : 0.0f;
    }
  }
  alignas(64) float d_gain[kMostLanesBackward] = {};
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    alignas(64) float z[kMostLanesBackward];
    alignas(64) float gradient[kMostLanesBackward];
    alignas(64) float spike[kMostLanesBackward];
    alignas(64) float d_h[kMostLanesBackward];
    alignas(64) float x[kMostLanesBackward];
    for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(scan.distance[row + c]);
    spike_gradient_row(p, z, gradient, lanes);
    fire_row<false>(neuron.thresholds, smooth ? &p.surrogate : nullptr, nullptr, z, spike, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float cost =
          spike[c] > 0.0f ? scan.activity_cost : (spike[c] < 0.0f ? -scan.activity_cost : 0.0f);
      d_h[c] = (to_float(scan.d_spikes[row + c]) + cost) * gradient[c];
      sums.rows[neuron.taps][c] += d_h[c];
    }
    // The oldest input of the window is new to it.
    float* const oldest = d_input.at(t - past);
    for (std::int64_t c = 0; c < lanes; ++c) oldest[c] = 0.0f;
    for (int j = 0; j < neuron.taps; ++j) {
      float* HWY_RESTRICT d_x = d_input.at(t - past + j);
      input_row(shape, scan, tile, t - past + j, past, x);
      for (std::int64_t c = 0; c < lanes; ++c) {
        d_x[c] += weights.rows[j][c] * d_h[c];
        sums.rows[j][c] += d_h[c] * x[c];
      }
    }
    const float* const d_x = d_input.at(t);
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float gain = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
      scan.d_current[row + c] = from_float<A>(d_x[c] * gain);
      if (scan.gain) d_gain[c] += d_x[c] * to_float(scan.current[row + c]);
    }
  }
  for (std::int64_t c = 0; c < lanes; ++c) {
    if (scan.gain) scan.scratch[first + c] = d_gain[c];
    for (int j = 0; j < neuron.learned(); ++j) scan.scratch[(1 + j) * plane + first + c] = sums.rows[j][c];
    for (int i = 0; i < past && scan.d_membrane_in != nullptr; ++i) {
      scan.d_membrane_in[i * plane + first + c] = d_input.at(i - past)[c];
    }
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
