#include "spikegpt/kernels/spike_scan.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/spike_scan.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>

#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/heaviside.h"

#ifndef SPIKEGPT_KERNELS_SPIKE_SCAN_LANES
#define SPIKEGPT_KERNELS_SPIKE_SCAN_LANES
namespace spikegpt {

// Neighbouring neurons a task takes through time. Many make long runs of memory; what the backward pass remembers of
// each between its loops should stay in the nearest cache.
inline constexpr std::int64_t kMostLanes = 512;
inline constexpr std::int64_t kMostLanesBackward = 128;

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

// ds/dh of a row of neurons by the surrogate: the sum over their thresholds. Out of line, as the next, so that the
// scans are not compiled once more for each kind of surrogate.
HWY_NOINLINE static void gradient_row(const Surrogate& surrogate, const Thresholds& thresholds,
                                      const float* HWY_RESTRICT z, float* HWY_RESTRICT gradient, std::int64_t lanes) {
  with_surrogate(surrogate, [&](const auto& formulas) {
    int i = thresholds.count() % 2;
    for (std::int64_t c = 0; c < lanes; ++c) gradient[c] = i == 1 ? formulas.gradient(z[c]) : 0.0f;
    for (; i < thresholds.count(); i += 2) {
      const Thresholds::Threshold a = thresholds.at(i);
      const Thresholds::Threshold b = thresholds.at(i + 1);
      for (std::int64_t c = 0; c < lanes; ++c) {
        gradient[c] += gradient_sum(formulas, a.offset + a.slope * z[c], b.offset + b.slope * z[c]);
      }
    }
  });
}
// Smooth spikes: the sum of the surrogate's primitive.
HWY_NOINLINE static void primitive_row(const Surrogate& surrogate, const Thresholds& thresholds,
                                       const float* HWY_RESTRICT z, float* HWY_RESTRICT spikes, std::int64_t lanes) {
  with_surrogate(surrogate, [&](const auto& formulas) {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = formulas.primitive(z[c]);
    for (int i = 1; i < thresholds.count(); ++i) {
      const Thresholds::Threshold further = thresholds.at(i);
      for (std::int64_t c = 0; c < lanes; ++c) {
        spikes[c] += further.slope * formulas.primitive(further.offset + further.slope * z[c]);
      }
    }
  });
}

// What a row of neurons sends: whole spikes, or in smooth mode their primitive.
SPIKEGPT_INLINE void fire_row(const Thresholds& thresholds, const Surrogate* smooth, const float* HWY_RESTRICT z,
                              float* HWY_RESTRICT spikes, std::int64_t lanes) {
  if (smooth != nullptr) return primitive_row(*smooth, thresholds, z, spikes, lanes);
  const Thresholds own = thresholds;  // which no store can change
  if (!own.is_graded()) {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = heaviside(z[c]);
  } else if (own.is_signed) {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own.spikes<true>(z[c]);
  } else {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own.spikes<false>(z[c]);
  }
}

// Forward over one tile: neighbouring neurons of one sequence, all tokens.
template <class A, class Neuron>
SPIKEGPT_INLINE std::int64_t scan_tile(const SequenceShape& shape, const Neuron& neuron, const Surrogate* smooth,
                                       const SpikeScanForward<A>& scan, const Tile& tile) {
  const std::int64_t lanes = tile.lanes;
  alignas(64) float membrane[kMostLanes];
  alignas(64) float gain[kMostLanes];
  alignas(64) float leak[kMostLanes];
  alignas(64) std::int32_t count[kMostLanes] = {};
  for (std::int64_t c = 0; c < lanes; ++c) {
    membrane[c] = scan.membrane_in ? scan.membrane_in[tile.state(shape) + c] : neuron.v_reset;
    gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
    leak[c] = scan.leak ? sigmoid(scan.leak[tile.channel + c]) : 0.0f;
  }
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t row = tile.row(shape, t);
    const A* HWY_RESTRICT current = scan.current + row;
    A* HWY_RESTRICT spikes = scan.spikes + row;
    A* HWY_RESTRICT distance = scan.distance ? scan.distance + row : nullptr;
    prefetch_ahead(current, shape.channels, lanes);
    alignas(64) float z[kMostLanes];
    alignas(64) float spike[kMostLanes];
    for (std::int64_t c = 0; c < lanes; ++c) {
      membrane[c] = neuron.charge(membrane[c], gain[c] * to_float(current[c]), leak[c]);
      z[c] = membrane[c] - neuron.v_threshold;
    }
    // What is kept decides: the backward pass must see the same spikes.
    if (smooth == nullptr) {
      for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(from_float<A>(z[c]));
    }
    fire_row(neuron.thresholds, smooth, z, spike, lanes);
    for (std::int64_t c = 0; c < lanes; ++c)
      count[c] += static_cast<std::int32_t>(spike[c] < 0.0f ? -spike[c] : spike[c]);
    for (std::int64_t c = 0; c < lanes; ++c) {
      membrane[c] = neuron.reset(membrane[c], spike[c]);
      spikes[c] = from_float<A>(spike[c]);
    }
    if (distance != nullptr) {
      for (std::int64_t c = 0; c < lanes; ++c) distance[c] = from_float<A>(z[c]);
    }
  }
  std::int64_t total = 0;
  for (std::int64_t c = 0; c < lanes; ++c) {
    if (scan.membrane_out) scan.membrane_out[tile.state(shape) + c] = membrane[c];
    total += count[c];
  }
  return total;
}

template <class A>
std::int64_t forward_tile(const SequenceShape& shape, const LifParameters& parameters, bool smooth,
                          const SpikeScanForward<A>& scan, const Tile& tile) {
  std::int64_t count = 0;
  const Surrogate* primitive = smooth ? &parameters.surrogate : nullptr;
  const auto run = [&](const auto& neuron) { count = scan_tile(shape, neuron, primitive, scan, tile); };
  if (scan.leak != nullptr) {
    with_parametric_lif(parameters, run);
  } else {
    with_lif(parameters, run);
  }
  return smooth ? 0 : count;
}

// The potentials with which token t began: what the token before left, from the distance it kept.
template <class A, class D, class Neuron>
SPIKEGPT_INLINE void membranes_before(const SequenceShape& shape, const Neuron& neuron, const Surrogate* smooth,
                                      const SpikeScanBackward<A, D>& scan, const Tile& tile, std::int64_t t,
                                      float* HWY_RESTRICT membrane, std::int64_t lanes) {
  if (t == 0) {
    for (std::int64_t c = 0; c < lanes; ++c) {
      membrane[c] = scan.membrane_in ? scan.membrane_in[tile.state(shape) + c] : neuron.v_reset;
    }
    return;
  }
  alignas(64) float z[kMostLanesBackward];
  alignas(64) float spike[kMostLanesBackward];
  const A* HWY_RESTRICT distance = scan.distance + tile.row(shape, t - 1);
  for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(distance[c]);
  fire_row(neuron.thresholds, smooth, z, spike, lanes);
  for (std::int64_t c = 0; c < lanes; ++c) membrane[c] = neuron.reset(z[c] + neuron.v_threshold, spike[c]);
}

template <bool kLearnsLeak, class A, class D, class Neuron>
SPIKEGPT_INLINE void backward_scan(const SequenceShape& shape, const Neuron& neuron, const Surrogate& surrogate,
                                   bool smooth, const SpikeScanBackward<A, D>& scan, const Tile& tile) {
  const std::int64_t lanes = tile.lanes;
  alignas(64) float d_membrane[kMostLanesBackward];
  alignas(64) float gain[kMostLanesBackward];
  alignas(64) float d_gain[kMostLanesBackward] = {};
  alignas(64) float leak[kMostLanesBackward];
  alignas(64) float d_leak[kMostLanesBackward] = {};
  for (std::int64_t c = 0; c < lanes; ++c) {
    d_membrane[c] = scan.d_membrane_out ? scan.d_membrane_out[tile.state(shape) + c] : 0.0f;
    gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
    leak[c] = kLearnsLeak ? sigmoid(scan.leak[tile.channel + c]) : 0.0f;
  }
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    const A* HWY_RESTRICT distance = scan.distance + row;
    const D* d_spikes = scan.d_spikes + row;
    A* d_current = scan.d_current + row;
    prefetch_ahead(distance, -shape.channels, lanes);
    prefetch_ahead(d_spikes, -shape.channels, lanes);
    alignas(64) float d_spike[kMostLanesBackward];
    alignas(64) float z[kMostLanesBackward];
    alignas(64) float spike[kMostLanesBackward];
    alignas(64) float gradient[kMostLanesBackward];
    alignas(64) float d_input[kMostLanesBackward];
    for (std::int64_t c = 0; c < lanes; ++c) {
      z[c] = to_float(distance[c]);
    }
    for (std::int64_t c = 0; c < lanes; ++c) d_spike[c] = to_float(d_spikes[c]);
    gradient_row(surrogate, neuron.thresholds, z, gradient, lanes);
    fire_row(neuron.thresholds, smooth ? &surrogate : nullptr, z, spike, lanes);
    if (scan.activity_cost != 0.0f) {
      const float cost = scan.activity_cost;
      for (std::int64_t c = 0; c < lanes; ++c) {
        d_spike[c] += spike[c] > 0.0f ? cost : (spike[c] < 0.0f ? -cost : 0.0f);
      }
    }
    for (std::int64_t c = 0; c < lanes; ++c) {
      const float g = gradient[c];
      const float h = z[c] + neuron.v_threshold;
      const float d_h = d_spike[c] * g + d_membrane[c] * neuron.d_reset(h, spike[c], g);
      d_membrane[c] = d_h * neuron.d_charge_d_membrane(leak[c]);
      d_input[c] = d_h * neuron.d_charge_d_input(leak[c]);
      if constexpr (kLearnsLeak) z[c] = d_h;
    }
    if constexpr (kLearnsLeak) {
      alignas(64) float before[kMostLanesBackward];
      membranes_before(shape, neuron, smooth ? &surrogate : nullptr, scan, tile, t, before, lanes);
      for (std::int64_t c = 0; c < lanes; ++c) {
        const float h = to_float(distance[c]) + neuron.v_threshold;
        d_leak[c] += z[c] * neuron.d_charge_d_leak(before[c], h, leak[c]);
      }
    }
    for (std::int64_t c = 0; c < lanes; ++c) d_current[c] = from_float<A>(d_input[c] * gain[c]);
    if (scan.gain != nullptr) {
      const A* HWY_RESTRICT current = scan.current + row;
      for (std::int64_t c = 0; c < lanes; ++c) d_gain[c] += d_input[c] * to_float(current[c]);
    }
  }
  for (std::int64_t c = 0; c < lanes; ++c) {
    if (scan.d_membrane_in) scan.d_membrane_in[tile.state(shape) + c] = d_membrane[c];
    if (scan.gain) scan.scratch[tile.state(shape) + c] = d_gain[c];
    if constexpr (kLearnsLeak) {
      float* const sums = scan.scratch + shape.batch * shape.channels;
      sums[tile.state(shape) + c] = d_leak[c] * leak[c] * (1.0f - leak[c]);
    }
  }
}

template <class A, class D>
void backward_tile(const SequenceShape& shape, const LifParameters& parameters, bool smooth,
                   const SpikeScanBackward<A, D>& scan, const Tile& tile) {
  const auto run = [&]<bool kLearnsLeak>(const auto& neuron) {
    backward_scan<kLearnsLeak>(shape, neuron, parameters.surrogate, smooth, scan, tile);
  };
  if (scan.leak != nullptr) {
    with_parametric_lif(parameters, [&](const auto& neuron) { run.template operator()<true>(neuron); });
  } else {
    with_lif(parameters, [&](const auto& neuron) { run.template operator()<false>(neuron); });
  }
}

template <class A>
void spikes_of(std::int64_t n, const LifParameters& neuron, bool smooth, const A* HWY_RESTRICT distance,
               A* HWY_RESTRICT spikes) {
  for (std::int64_t i = 0; i < n; i += kMostLanes) {
    const std::int64_t lanes = std::min(kMostLanes, n - i);
    alignas(64) float z[kMostLanes];
    alignas(64) float spike[kMostLanes];
    for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(distance[i + c]);
    fire_row(neuron.thresholds(), smooth ? &neuron.surrogate : nullptr, z, spike, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) spikes[i + c] = from_float<A>(spike[c]);
  }
}

static std::int64_t forward_f32(const SequenceShape& shape, const LifParameters& neuron, bool smooth,
                                const SpikeScanForward<float>& scan, const Tile& tile) {
  return forward_tile<float>(shape, neuron, smooth, scan, tile);
}
static std::int64_t forward_bf16(const SequenceShape& shape, const LifParameters& neuron, bool smooth,
                                 const SpikeScanForward<Bf16>& scan, const Tile& tile) {
  return forward_tile<Bf16>(shape, neuron, smooth, scan, tile);
}
static void backward_f32(const SequenceShape& shape, const LifParameters& neuron, bool smooth,
                         const SpikeScanBackward<float, float>& scan, const Tile& tile) {
  backward_tile(shape, neuron, smooth, scan, tile);
}
static void backward_bf16(const SequenceShape& shape, const LifParameters& neuron, bool smooth,
                          const SpikeScanBackward<Bf16, Bf16>& scan, const Tile& tile) {
  backward_tile(shape, neuron, smooth, scan, tile);
}
static void backward_mixed(const SequenceShape& shape, const LifParameters& neuron, bool smooth,
                           const SpikeScanBackward<Bf16, float>& scan, const Tile& tile) {
  backward_tile(shape, neuron, smooth, scan, tile);
}
static void spikes_f32(std::int64_t n, const LifParameters& neuron, bool smooth, const float* z, float* spikes) {
  spikes_of(n, neuron, smooth, z, spikes);
}
static void spikes_bf16(std::int64_t n, const LifParameters& neuron, bool smooth, const Bf16* z, Bf16* spikes) {
  spikes_of(n, neuron, smooth, z, spikes);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(forward_f32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(backward_f32);
HWY_EXPORT(backward_bf16);
HWY_EXPORT(backward_mixed);
HWY_EXPORT(spikes_f32);
HWY_EXPORT(spikes_bf16);

}  // namespace

template <class A>
std::int64_t spike_scan_forward(const SequenceShape& shape, const LifParameters& neuron, FireMode mode,
                                const SpikeScanForward<A>& scan) noexcept {
  const KernelTimer timer({.name = "spike scan forward", .bytes = bytes_of<A>(shape.size(), 3, 0)});
  std::atomic<std::int64_t> spikes = 0;
  const std::int64_t lanes = lanes_for_all_threads(shape, kMostLanes);
  parallel_for(tile_count(shape, lanes), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task, lanes);
    const bool smooth = mode == FireMode::kSmooth;
    if constexpr (std::is_same_v<A, float>) {
      spikes += HWY_DYNAMIC_DISPATCH(forward_f32)(shape, neuron, smooth, scan, tile);
    } else {
      spikes += HWY_DYNAMIC_DISPATCH(forward_bf16)(shape, neuron, smooth, scan, tile);
    }
  });
  return spikes;
}

template <class A, class D>
void spike_scan_backward(const SequenceShape& shape, const LifParameters& neuron, FireMode mode,
                         const SpikeScanBackward<A, D>& scan) noexcept {
  const KernelTimer timer(
      {.name = "spike scan backward", .bytes = bytes_of<A>(shape.size(), 2, 0) + bytes_of<D>(shape.size(), 1, 0)});
  const bool smooth = mode == FireMode::kSmooth;
  const std::int64_t lanes = lanes_for_all_threads(shape, kMostLanesBackward);
  parallel_for(tile_count(shape, lanes), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task, lanes);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(backward_f32)(shape, neuron, smooth, scan, tile);
    } else if constexpr (std::is_same_v<D, Bf16>) {
      HWY_DYNAMIC_DISPATCH(backward_bf16)(shape, neuron, smooth, scan, tile);
    } else {
      HWY_DYNAMIC_DISPATCH(backward_mixed)(shape, neuron, smooth, scan, tile);
    }
  });
  if (scan.gain != nullptr) add_over_batch(shape, scan.scratch, scan.d_gain);
  if (scan.leak != nullptr) add_over_batch(shape, scan.scratch + shape.batch * shape.channels, scan.d_leak);
}

template <class A>
void spikes_from_distance(std::int64_t n, const LifParameters& neuron, FireMode mode, const A* distance,
                          A* spikes) noexcept {
  const KernelTimer timer({.name = "spikes made again", .bytes = bytes_of<A>(n, 2, 0)});
  const bool smooth = mode == FireMode::kSmooth;
  parallel_for(piece_count(n), n, [&](std::int64_t task) {
    const Piece piece = piece_at(n, task);
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(spikes_f32)
      (piece.size, neuron, smooth, distance + piece.first, spikes + piece.first);
    } else {
      HWY_DYNAMIC_DISPATCH(spikes_bf16)
      (piece.size, neuron, smooth, distance + piece.first, spikes + piece.first);
    }
  });
}

template std::int64_t spike_scan_forward(const SequenceShape&, const LifParameters&, FireMode,
                                         const SpikeScanForward<float>&) noexcept;
template std::int64_t spike_scan_forward(const SequenceShape&, const LifParameters&, FireMode,
                                         const SpikeScanForward<Bf16>&) noexcept;
template void spike_scan_backward(const SequenceShape&, const LifParameters&, FireMode,
                                  const SpikeScanBackward<float, float>&) noexcept;
template void spike_scan_backward(const SequenceShape&, const LifParameters&, FireMode,
                                  const SpikeScanBackward<Bf16, Bf16>&) noexcept;
template void spike_scan_backward(const SequenceShape&, const LifParameters&, FireMode,
                                  const SpikeScanBackward<Bf16, float>&) noexcept;
template void spikes_from_distance(std::int64_t, const LifParameters&, FireMode, const float*, float*) noexcept;
template void spikes_from_distance(std::int64_t, const LifParameters&, FireMode, const Bf16*, Bf16*) noexcept;

}  // namespace spikegpt
#endif
