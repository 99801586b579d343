#include "spikegpt/kernels/spike_scan.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/spike_scan.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>

#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/spike_scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

template <class A, class Neuron>
SPIKEGPT_INLINE void read_state(const SequenceShape& shape, const Neuron& neuron, const SpikeScanForward<A>& scan,
                                const Tile& tile, NeuronRows<Neuron, kMostLanes>& at) {
  const std::int64_t plane = shape.batch * shape.channels;
  for (int i = 0; i < Neuron::kStates; ++i) {
    for (std::int64_t c = 0; c < tile.lanes; ++c) {
      at.state[i][c] = scan.membrane_in ? scan.membrane_in[i * plane + tile.state(shape) + c] : neuron.rest(i);
    }
  }
  at.read_learned(shape, neuron, scan.learned, tile);
}

// Where one token's row of a scan lies. What is not wanted goes to a place that nobody reads.
template <class A>
struct ForwardRow {
  const A* HWY_RESTRICT current;
  A* HWY_RESTRICT spikes;
  A* HWY_RESTRICT distance;
  A* HWY_RESTRICT kept;
};

// What these floats need.
template <class A, class Neuron>
struct WideRows {
  static constexpr std::int64_t kLanes = std::is_same_v<A, float> ? 1 : kMostLanes;
  alignas(64) float current[kLanes];
  alignas(64) float spikes[kLanes];
  alignas(64) float distance[kLanes];
  alignas(64) float kept[Neuron::kKeeps >= 0 ? kLanes : 1];
};

// Graded or smooth spikes, which a loop of their own makes.
template <class A, class Neuron>
SPIKEGPT_INLINE void graded_row(const Neuron& neuron, const Surrogate* smooth, const float* HWY_RESTRICT gain,
                                const ForwardRow<A>& row, std::int64_t lanes, NeuronRows<Neuron, kMostLanes>& at,
                                std::int32_t* HWY_RESTRICT count) {
  constexpr bool kMoves = Neuron::kMovesThreshold;
  WideRows<A, Neuron> wide;
  alignas(64) float threshold[kMoves ? kMostLanes : 1];
  const float* HWY_RESTRICT current = widened(row.current, wide.current, lanes);
  float* HWY_RESTRICT spikes = place_for(row.spikes, wide.spikes);
  float* HWY_RESTRICT distance = place_for(row.distance, wide.distance);
  float* HWY_RESTRICT kept = place_for(row.kept, wide.kept);
  for (std::int64_t c = 0; c < lanes; ++c) {
    typename Neuron::State state = at.load(c);
    neuron.charge(state, gain[c] * current[c], at.learnt(c));
    at.store(c, state);
    float at_threshold = neuron.v_threshold;
    if constexpr (Neuron::kKeeps >= 0) {
      const float more = to_float(from_float<A>(state[Neuron::kKeeps]));
      kept[c] = more;
      if constexpr (kMoves) threshold[c] = at_threshold = neuron.threshold(more);
    }
    distance[c] = state[0] - at_threshold;
  }
  // What is kept decides: the backward pass must see the same spikes.
  if (smooth == nullptr) {
    for (std::int64_t c = 0; c < lanes; ++c) distance[c] = to_float(from_float<A>(distance[c]));
  }
  fire_row<kMoves>(neuron.thresholds, smooth, threshold, distance, spikes, lanes);
  for (std::int64_t c = 0; c < lanes; ++c) {
    const float spike = spikes[c];
    count[c] += static_cast<std::int32_t>(spike < 0.0f ? -spike : spike);
    typename Neuron::State state = at.load(c);
    neuron.reset(state, spike, kMoves ? threshold[c] : 0.0f, at.learnt(c));
    at.store(c, state);
  }
  narrow(spikes, row.spikes, lanes, smooth == nullptr);
  narrow(distance, row.distance, lanes, smooth == nullptr);
  if constexpr (Neuron::kKeeps >= 0) narrow(kept, row.kept, lanes);
}

// The spike of SPEC.md 1, in one loop over floats.
template <class A, class Neuron>
SPIKEGPT_INLINE void spike_row(const Neuron& neuron, const float* HWY_RESTRICT gain, const ForwardRow<A>& row,
                               std::int64_t lanes, NeuronRows<Neuron, kMostLanes>& at,
                               std::int32_t* HWY_RESTRICT count) {
  WideRows<A, Neuron> wide;
  const float* HWY_RESTRICT current = widened(row.current, wide.current, lanes);
  float* HWY_RESTRICT spikes = place_for(row.spikes, wide.spikes);
  float* HWY_RESTRICT distance = place_for(row.distance, wide.distance);
  float* HWY_RESTRICT kept = place_for(row.kept, wide.kept);
  for (std::int64_t c = 0; c < lanes; ++c) {
    const typename Neuron::Learned learned = at.learnt(c);
    typename Neuron::State state = at.load(c);
    neuron.charge(state, gain[c] * current[c], learned);
    float threshold = neuron.v_threshold;
    if constexpr (Neuron::kKeeps >= 0) {
      const float more = to_float(from_float<A>(state[Neuron::kKeeps]));
      kept[c] = more;
      if constexpr (Neuron::kMovesThreshold) threshold = neuron.threshold(more);
    }
    // What is kept decides: the backward pass must see the same spikes.
    const float z = to_float(from_float<A>(state[0] - threshold));
    const float spike = heaviside(z);
    count[c] += static_cast<std::int32_t>(spike);
    neuron.reset(state, spike, threshold, learned);
    at.store(c, state);
    distance[c] = z;
    spikes[c] = spike;
  }
  narrow(spikes, row.spikes, lanes);
  narrow(distance, row.distance, lanes);
  if constexpr (Neuron::kKeeps >= 0) narrow(kept, row.kept, lanes);
}

// Forward over one tile: neighbouring neurons of one sequence, all tokens.
template <bool kOneSpike, class A, class Neuron>
HWY_NOINLINE std::int64_t scan_tile(const SequenceShape& shape, const Neuron& from, const Surrogate* smooth,
                                    const SpikeScanForward<A>& scan, const Tile& tile) {
  const Neuron neuron = from;  // which no store can change
  const std::int64_t lanes = tile.lanes;
  NeuronRows<Neuron, kMostLanes> at;
  read_state(shape, neuron, scan, tile, at);
  alignas(64) float gain[kMostLanes];
  alignas(64) std::int32_t count[kMostLanes] = {};
  constexpr int kSpare = Neuron::kKeeps >= 0 ? 1 : 0;
  alignas(64) A nowhere[1 + kSpare][kMostLanes];  // apart, as rows of one call are
  for (std::int64_t c = 0; c < lanes; ++c) gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t first = tile.row(shape, t);
    const ForwardRow<A> row = {scan.current + first, scan.spikes + first,
                               scan.distance != nullptr ? scan.distance + first : nowhere[0],
                               scan.kept != nullptr ? scan.kept + first : nowhere[kSpare]};
    prefetch_ahead(row.current, shape.channels, lanes);
    if constexpr (kOneSpike) {
      spike_row(neuron, gain, row, lanes, at, count);
    } else {
      graded_row(neuron, smooth, gain, row, lanes, at, count);
    }
  }
  std::int64_t total = 0;
  for (std::int64_t c = 0; c < lanes; ++c) total += count[c];
  if (scan.membrane_out == nullptr) return total;
  for (int i = 0; i < Neuron::kStates; ++i) {
    float* const out = scan.membrane_out + i * shape.batch * shape.channels + tile.state(shape);
    for (std::int64_t c = 0; c < lanes; ++c) out[c] = at.state[i][c];
  }
  return total;
}

template <class A>
std::int64_t forward_tile(const SequenceShape& shape, const NeuronParameters& parameters, bool smooth,
                          const SpikeScanForward<A>& scan, const Tile& tile) {
  std::int64_t count = 0;
  const Surrogate* primitive = smooth ? &parameters.surrogate : nullptr;
  const bool one_spike = !smooth && !parameters.thresholds().is_graded();
  with_neuron(parameters, [&](const auto& neuron) {
    count = one_spike ? scan_tile<true>(shape, neuron, primitive, scan, tile)
                      : scan_tile<false>(shape, neuron, primitive, scan, tile);
  });
  return smooth ? 0 : count;
}

// Of neurons whose threshold moves, from what they kept.
template <class A>
void thresholds_of(const NeuronParameters& parameters, const A* HWY_RESTRICT kept, float* HWY_RESTRICT threshold,
                   std::int64_t lanes) {
  with_neuron(parameters, [&](const auto& neuron) {
    if constexpr (std::decay_t<decltype(neuron)>::kMovesThreshold) {
      for (std::int64_t c = 0; c < lanes; ++c) threshold[c] = neuron.threshold(to_float(kept[c]));
    }
  });
}

template <class A>
void spikes_of(std::int64_t n, const NeuronParameters& neuron, bool smooth, const A* HWY_RESTRICT distance,
               A* HWY_RESTRICT spikes, const A* kept) {
  const Surrogate* primitive = smooth ? &neuron.surrogate : nullptr;
  const bool moves = neuron.moves_threshold();
  for (std::int64_t i = 0; i < n; i += kMostLanes) {
    const std::int64_t lanes = std::min(kMostLanes, n - i);
    alignas(64) float z[kMostLanes];
    alignas(64) float spike[kMostLanes];
    alignas(64) float threshold[kMostLanes];
    for (std::int64_t c = 0; c < lanes; ++c) z[c] = to_float(distance[i + c]);
    if (moves) {
      thresholds_of(neuron, kept + i, threshold, lanes);
      fire_row<true>(neuron.thresholds(), primitive, threshold, z, spike, lanes);
    } else {
      fire_row<false>(neuron.thresholds(), primitive, nullptr, z, spike, lanes);
    }
    for (std::int64_t c = 0; c < lanes; ++c) spikes[i + c] = from_float<A>(spike[c]);
  }
}

static std::int64_t forward_f32(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                const SpikeScanForward<float>& scan, const Tile& tile) {
  return forward_tile(shape, neuron, smooth, scan, tile);
}
static std::int64_t forward_bf16(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                 const SpikeScanForward<Bf16>& scan, const Tile& tile) {
  return forward_tile(shape, neuron, smooth, scan, tile);
}
static void spikes_f32(std::int64_t n, const NeuronParameters& neuron, bool smooth, const float* z, float* spikes,
                       const float* kept) {
  spikes_of(n, neuron, smooth, z, spikes, kept);
}
static void spikes_bf16(std::int64_t n, const NeuronParameters& neuron, bool smooth, const Bf16* z, Bf16* spikes,
                        const Bf16* kept) {
  spikes_of(n, neuron, smooth, z, spikes, kept);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(forward_f32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(spikes_f32);
HWY_EXPORT(spikes_bf16);

}  // namespace

template <class A>
std::int64_t spike_scan_forward(const SequenceShape& shape, const NeuronParameters& parameters, FireMode mode,
                                const SpikeScanForward<A>& scan) noexcept {
  const KernelTimer timer({.name = "spike scan forward", .bytes = bytes_of<A>(shape.size(), 3, 0)});
  NeuronParameters neuron = parameters;
  if (neuron.kind == NeuronKind::kLif && scan.learned.values != nullptr) neuron.kind = NeuronKind::kParametricLif;
  std::atomic<std::int64_t> spikes = 0;
  const std::int64_t lanes = lanes_for_all_threads(shape, kMostLanes);
  parallel_for(tile_count(shape, lanes), shape.size(), [&](std::int64_t task) {
    const Tile tile = tile_at(shape, task, lanes);
    const bool smooth = mode == FireMode::kSmooth;
    if (neuron.kind == NeuronKind::kSlidingPsn) {
      spikes += sliding_forward_tile(shape, neuron, smooth, scan, tile);
    } else if constexpr (std::is_same_v<A, float>) {
      spikes += HWY_DYNAMIC_DISPATCH(forward_f32)(shape, neuron, smooth, scan, tile);
    } else {
      spikes += HWY_DYNAMIC_DISPATCH(forward_bf16)(shape, neuron, smooth, scan, tile);
    }
  });
  return spikes;
}

template <class A>
void spikes_from_distance(std::int64_t n, const NeuronParameters& neuron, FireMode mode, const A* distance, A* spikes,
                          const A* kept) noexcept {
  const KernelTimer timer({.name = "spikes made again", .bytes = bytes_of<A>(n, 2, 0)});
  const bool smooth = mode == FireMode::kSmooth;
  parallel_for(piece_count(n), n, [&](std::int64_t task) {
    const Piece piece = piece_at(n, task);
    const A* const more = kept == nullptr ? nullptr : kept + piece.first;
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(spikes_f32)
      (piece.size, neuron, smooth, distance + piece.first, spikes + piece.first, more);
    } else {
      HWY_DYNAMIC_DISPATCH(spikes_bf16)
      (piece.size, neuron, smooth, distance + piece.first, spikes + piece.first, more);
    }
  });
}

template std::int64_t spike_scan_forward(const SequenceShape&, const NeuronParameters&, FireMode,
                                         const SpikeScanForward<float>&) noexcept;
template std::int64_t spike_scan_forward(const SequenceShape&, const NeuronParameters&, FireMode,
                                         const SpikeScanForward<Bf16>&) noexcept;
template void spikes_from_distance(std::int64_t, const NeuronParameters&, FireMode, const float*, float*,
                                   const float*) noexcept;
template void spikes_from_distance(std::int64_t, const NeuronParameters&, FireMode, const Bf16*, Bf16*,
                                   const Bf16*) noexcept;

}  // namespace spikegpt
#endif
