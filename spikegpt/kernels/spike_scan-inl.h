// What the scans of spiking neurons share, once for every instruction set (Highway's pattern: the guard is
// switched over each time foreach_target.h compiles the including file again).
#if defined(SPIKEGPT_KERNELS_SPIKE_SCAN_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SPIKEGPT_KERNELS_SPIKE_SCAN_INL_H
#undef SPIKEGPT_KERNELS_SPIKE_SCAN_INL_H
#else
#define SPIKEGPT_KERNELS_SPIKE_SCAN_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>

#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/kernels/spike_scan_tiles.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/heaviside.h"

#ifndef SPIKEGPT_KERNELS_SPIKE_SCAN_LANES
#define SPIKEGPT_KERNELS_SPIKE_SCAN_LANES
namespace spikegpt {

// Neighbouring neurons a task takes through time. Many make long runs of memory; what the backward pass
// remembers of each between its loops should stay in the nearest cache.
inline constexpr std::int64_t kMostLanes = 512;
inline constexpr std::int64_t kMostLanesBackward = 128;

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

// The states (or their gradients) of the neurons of a tile, and what they learned.
template <class Neuron, std::int64_t kLanes>
struct NeuronRows {
  static constexpr int kLearnedRows = Neuron::kLearned > 0 ? Neuron::kLearned : 1;
  static_assert(Neuron::kStates <= 3 && Neuron::kLearned <= 1, "load and store take them one by one");
  alignas(64) float state[Neuron::kStates][kLanes];
  alignas(64) float learned[kLearnedRows][kLanes];

  SPIKEGPT_INLINE typename Neuron::State load(std::int64_t c) const noexcept {
    typename Neuron::State values;
    values[0] = state[0][c];
    if constexpr (Neuron::kStates > 1) values[1] = state[1][c];
    if constexpr (Neuron::kStates > 2) values[2] = state[2][c];
    return values;
  }
  SPIKEGPT_INLINE void store(std::int64_t c, const typename Neuron::State& values) noexcept {
    state[0][c] = values[0];
    if constexpr (Neuron::kStates > 1) state[1][c] = values[1];
    if constexpr (Neuron::kStates > 2) state[2][c] = values[2];
  }
  SPIKEGPT_INLINE typename Neuron::Learned learnt(std::int64_t c) const noexcept {
    typename Neuron::Learned values;
    if constexpr (Neuron::kLearned > 0) values[0] = learned[0][c];
    return values;
  }
  SPIKEGPT_INLINE void read_learned(const SequenceShape& shape, const Neuron& neuron,
                                    const LearnedValues& from, const Tile& tile) noexcept {
    for (int i = 0; i < Neuron::kLearned; ++i) {
      const float* const row = from.values + i * (from.per_layer ? 1 : shape.channels);
      for (std::int64_t c = 0; c < tile.lanes; ++c) {
        learned[i][c] = neuron.learned(i, from.per_layer ? row[0] : row[tile.channel + c]);
      }
    }
  }
};

// Rows of floats are read and written as they are, others by way of floats: compilers make better vectors of loops over
// numbers of one size.
template <class A>
SPIKEGPT_INLINE const float* widened(const A* HWY_RESTRICT from, float* HWY_RESTRICT wide, std::int64_t lanes) {
  if constexpr (std::is_same_v<A, float>) {
    return from;
  } else {
    for (std::int64_t c = 0; c < lanes; ++c) wide[c] = to_float(from[c]);
    return wide;
  }
}
template <class A>
SPIKEGPT_INLINE float* place_for(A* to, float* wide) {
  if constexpr (std::is_same_v<A, float>) {
    return to;
  } else {
    return wide;
  }
}
// `rounded`: of values that an A can hold.
template <class A>
SPIKEGPT_INLINE void narrow(const float* HWY_RESTRICT wide, A* HWY_RESTRICT to, std::int64_t lanes,
                            bool rounded = true) {
  if constexpr (!std::is_same_v<A, float>) {
    if (!rounded) {
      for (std::int64_t c = 0; c < lanes; ++c) to[c] = from_float<A>(wide[c]);
      return;
    }
    for (std::int64_t c = 0; c < lanes; ++c) {
      to[c] = {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(wide[c]) >> 16)};
    }
  }
}

// Whole spikes of neurons whose thresholds are the same, or each its own.
template <bool kMoves>
SPIKEGPT_INLINE void whole_spikes(const Thresholds& thresholds, const float* HWY_RESTRICT moving,
                                  const float* HWY_RESTRICT z, float* HWY_RESTRICT spikes,
                                  std::int64_t lanes) {
  const Thresholds fixed = thresholds;  // which no store can change
  const auto own = [&](std::int64_t c) {
    Thresholds result = fixed;
    if constexpr (kMoves) result.first = moving[c];
    return result;
  };
  if (!fixed.is_graded()) {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = heaviside(z[c]);
  } else if (fixed.has_dead_zone()) {
    const float inverse_unit = 1.0f / fixed.unit();
    if (fixed.is_signed) {
      for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own(c).template payload<true>(z[c], inverse_unit);
    } else {
      for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own(c).template payload<false>(z[c], inverse_unit);
    }
  } else if (fixed.is_signed) {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own(c).template spikes<true>(z[c]);
  } else {
    for (std::int64_t c = 0; c < lanes; ++c) spikes[c] = own(c).template spikes<false>(z[c]);
  }
}

// What a row of neurons sends: whole spikes, or in smooth mode their primitive.
template <bool kMoves>
SPIKEGPT_INLINE void fire_row(const Thresholds& thresholds, const Surrogate* smooth,
                              const float* HWY_RESTRICT moving, const float* HWY_RESTRICT z,
                              float* HWY_RESTRICT spikes, std::int64_t lanes) {
  if (smooth != nullptr)
    return primitive_row(*smooth, thresholds, kMoves ? moving : nullptr, z, spikes, lanes);
  whole_spikes<kMoves>(thresholds, moving, z, spikes, lanes);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
