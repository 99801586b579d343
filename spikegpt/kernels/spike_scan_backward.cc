// Back-propagation through time of the spike scan.
#include "spikegpt/kernels/dispatch.h"
#include "spikegpt/kernels/spike_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/spike_scan_backward.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/spike_scan-inl.h"

#ifndef SPIKEGPT_KERNELS_SPIKE_SCAN_BACKWARD_TASK
#define SPIKEGPT_KERNELS_SPIKE_SCAN_BACKWARD_TASK
namespace spikegpt {

// A scan whatever the type of the incoming gradient: that of the activations, or float in `wide`, which is not written.
template <class A>
struct BackwardTask : SpikeScanBackward<A, A> {
  const float* wide = nullptr;

  // The gradient of a row of spikes as floats: in `room`, unless they may be read where they are.
  SPIKEGPT_INLINE const float* incoming(const SequenceShape& shape, std::int64_t row, std::int64_t lanes,
                                        float* HWY_RESTRICT room) const noexcept {
    if (wide != nullptr) {
      prefetch_ahead(wide + row, -shape.channels, lanes);
      if (this->activity_cost == 0.0f) return wide + row;
      for (std::int64_t c = 0; c < lanes; ++c) room[c] = wide[row + c];
      return room;
    }
    const A* const narrow = this->d_spikes + row;
    prefetch_ahead(narrow, -shape.channels, lanes);
    for (std::int64_t c = 0; c < lanes; ++c) room[c] = to_float(narrow[c]);
    return room;
  }
};
template <class A, class D>
BackwardTask<A> task_of(const SpikeScanBackward<A, D>& scan) noexcept {
  BackwardTask<A> task;
  task.distance = scan.distance;
  task.kept = scan.kept;
  if constexpr (std::is_same_v<A, D>) task.d_spikes = scan.d_spikes;
  if constexpr (std::is_same_v<D, float>) {
    if (static_cast<const void*>(scan.d_spikes) != scan.d_current) task.wide = scan.d_spikes;
  }
  task.current = scan.current;
  task.gain = scan.gain;
  task.learned = scan.learned;
  task.membrane_in = scan.membrane_in;
  task.d_membrane_out = scan.d_membrane_out;
  task.d_current = scan.d_current;
  task.d_gain = scan.d_gain;
  task.d_learned = scan.d_learned;
  task.d_membrane_in = scan.d_membrane_in;
  task.activity_cost = scan.activity_cost;
  task.scratch = scan.scratch;
  return task;
}

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

// ds/dh of a row of neurons, and where each has a threshold of its own (`moving`, else null) its derivative by that.
using GradientRow = void (*)(const Surrogate& surrogate, const Thresholds& thresholds, const float* HWY_RESTRICT moving,
                             const float* HWY_RESTRICT z, float* HWY_RESTRICT gradient,
                             float* HWY_RESTRICT by_threshold, std::int64_t lanes);

// Of a dead zone.
inline void payload_gradient_row(const Surrogate&, const Thresholds& thresholds, const float* HWY_RESTRICT moving,
                                 const float* HWY_RESTRICT z, float* HWY_RESTRICT gradient,
                                 float* HWY_RESTRICT by_threshold, std::int64_t lanes) {
  const float inverse_unit = 1.0f / thresholds.unit();
  const float below = thresholds.is_signed ? inverse_unit : 0.0f;
  const float first = thresholds.first;
  if (moving == nullptr) {
    for (std::int64_t c = 0; c < lanes; ++c) gradient[c] = z[c] + first > 0.0f ? inverse_unit : below;
    return;
  }
  for (std::int64_t c = 0; c < lanes; ++c) by_threshold[c] = 0.0f;
  for (std::int64_t c = 0; c < lanes; ++c) gradient[c] = z[c] + moving[c] > 0.0f ? inverse_unit : below;
}

// By the surrogate with these formulas: the sum over the thresholds.
template <class Formulas>
void surrogate_gradient_row(const Surrogate& surrogate, const Thresholds& thresholds, const float*,
                            const float* HWY_RESTRICT z, float* HWY_RESTRICT gradient, float*, std::int64_t lanes) {
  with_surrogate(surrogate, [&](const auto& formulas) {
    if constexpr (std::is_same_v<std::decay_t<decltype(formulas)>, Formulas>) {
      const Formulas own = formulas;  // which no store can change
      int i = thresholds.count() % 2;
      for (std::int64_t c = 0; c < lanes; ++c) gradient[c] = i == 1 ? own.gradient(z[c]) : 0.0f;
      for (; i < thresholds.count(); i += 2) {
        const Thresholds::Threshold a = thresholds.at(i);
        const Thresholds::Threshold b = thresholds.at(i + 1);
        for (std::int64_t c = 0; c < lanes; ++c) {
          gradient[c] += gradient_sum(own, a.offset + a.slope * z[c], b.offset + b.slope * z[c]);
        }
      }
    }
  });
}
template <class Formulas>
void moving_gradient_row(const Surrogate& surrogate, const Thresholds& thresholds, const float* HWY_RESTRICT moving,
                         const float* HWY_RESTRICT z, float* HWY_RESTRICT gradient, float* HWY_RESTRICT by_threshold,
                         std::int64_t lanes) {
  with_surrogate(surrogate, [&](const auto& formulas) {
    if constexpr (std::is_same_v<std::decay_t<decltype(formulas)>, Formulas>) {
      const Formulas own = formulas;
      for (std::int64_t c = 0; c < lanes; ++c) gradient[c] = by_threshold[c] = 0.0f;
      for (int i = 0; i < thresholds.count(); ++i) {
        const Thresholds::Threshold at = Thresholds{1.0f, thresholds.levels, thresholds.is_signed}.at(i);
        for (std::int64_t c = 0; c < lanes; ++c) {
          const float g = own.gradient(at.offset * moving[c] + at.slope * z[c]);
          gradient[c] += g;
          by_threshold[c] -= at.multiple * g;
        }
      }
    }
  });
}

// Chosen once a scan; a function for each kind of surrogate, so that the scans are not compiled once more for each.
template <bool kMoves>
GradientRow gradient_row_of(const Surrogate& surrogate, const Thresholds& thresholds) {
  GradientRow row = payload_gradient_row;
  if (thresholds.has_dead_zone()) return row;
  with_surrogate(surrogate, [&](const auto& formulas) {
    using Formulas = std::decay_t<decltype(formulas)>;
    row = kMoves ? moving_gradient_row<Formulas> : surrogate_gradient_row<Formulas>;
  });
  return row;
}

// What the backward pass carries from token to token, of the neurons of a tile: `state` is the gradient of
// it.
template <class Neuron>
struct BackwardState : NeuronRows<Neuron, kMostLanesBackward> {
  alignas(64) float d_learned[NeuronRows<Neuron, kMostLanesBackward>::kLearnedRows][kMostLanesBackward] = {};
};

template <class A, class Neuron>
SPIKEGPT_INLINE void begin_backward(const SequenceShape& shape, const Neuron& neuron,
                                    const BackwardTask<A>& scan, const Tile& tile,
                                    BackwardState<Neuron>& at) {
  const std::int64_t plane = shape.batch * shape.channels;
  for (int i = 0; i < Neuron::kStates; ++i) {
    for (std::int64_t c = 0; c < tile.lanes; ++c) {
      at.state[i][c] = scan.d_membrane_out ? scan.d_membrane_out[i * plane + tile.state(shape) + c] : 0.0f;
    }
  }
  at.read_learned(shape, neuron, scan.learned, tile);
}

// The potentials with which token t began: what the token before left, from z, the distances that it kept.
template <bool kOneSpike, class A, class Neuron>
SPIKEGPT_INLINE void membranes_before(const SequenceShape& shape, const Neuron& neuron, const Surrogate* smooth,
                                      const BackwardTask<A>& scan, const Tile& tile, std::int64_t t,
                                      const float* HWY_RESTRICT z, const BackwardState<Neuron>& at,
                                      float* HWY_RESTRICT membrane) {
  const std::int64_t lanes = tile.lanes;
  if (t == 0) {
    for (std::int64_t c = 0; c < lanes; ++c) {
      membrane[c] = scan.membrane_in ? scan.membrane_in[tile.state(shape) + c] : neuron.rest(0);
    }
    return;
  }
  static_assert(!Neuron::kReadsBefore || !Neuron::kMovesThreshold, "not needed so far");
  alignas(64) float spike[kMostLanesBackward];
  if constexpr (!kOneSpike) fire_row<false>(neuron.thresholds, smooth, nullptr, z, spike, lanes);
  for (std::int64_t c = 0; c < lanes; ++c) {
    typename Neuron::State state;
    state[0] = z[c] + neuron.v_threshold;
    neuron.reset(state, kOneSpike ? heaviside(z[c]) : spike[c], neuron.v_threshold, at.learnt(c));
    membrane[c] = state[0];
  }
}

template <class A, class Neuron>
SPIKEGPT_INLINE void end_backward(const SequenceShape& shape, const Neuron& neuron,
                                  const BackwardTask<A>& scan, const Tile& tile,
                                  const BackwardState<Neuron>& at, const float* d_gain) {
  const std::int64_t plane = shape.batch * shape.channels;
  const std::int64_t first = tile.state(shape);
  for (std::int64_t c = 0; c < tile.lanes; ++c) {
    if (scan.gain) scan.scratch[first + c] = d_gain[c];
    for (int i = 0; i < Neuron::kStates; ++i) {
      if (scan.d_membrane_in) scan.d_membrane_in[i * plane + first + c] = at.state[i][c];
    }
    for (int i = 0; i < Neuron::kLearned; ++i) {
      scan.scratch[(1 + i) * plane + first + c] = neuron.d_learned(i, at.learned[i][c], at.d_learned[i][c]);
    }
  }
}

// One token of a row of neurons: what came in, and where the gradient of the current goes.
template <class A>
struct BackwardRow {
  const float* HWY_RESTRICT z;
  const float* HWY_RESTRICT d_spike;
  const float* HWY_RESTRICT gradient;
  const float* HWY_RESTRICT spike;  // null where z says it all
  const float* HWY_RESTRICT threshold;
  const float* HWY_RESTRICT by_threshold;
  const float* HWY_RESTRICT before;
  const float* HWY_RESTRICT gain;
  float* HWY_RESTRICT d_input;  // of gain times current
  A* HWY_RESTRICT d_current;
};
template <bool kOneSpike, class A, class Neuron>
SPIKEGPT_INLINE void backward_row(const Neuron& neuron, const BackwardRow<A>& row, std::int64_t lanes,
                                  BackwardState<Neuron>& at) {
  constexpr bool kMoves = Neuron::kMovesThreshold;
  constexpr bool kWide = std::is_same_v<A, float>;
  const float* HWY_RESTRICT z = row.z;
  const float* HWY_RESTRICT d_spike = row.d_spike;
  const float* HWY_RESTRICT gradient = row.gradient;
  const float* HWY_RESTRICT gain = row.gain;
  float* HWY_RESTRICT d_input = row.d_input;
  A* HWY_RESTRICT d_current = row.d_current;
  for (std::int64_t c = 0; c < lanes; ++c) {
    Fired fired;
    fired.threshold = kMoves ? row.threshold[c] : neuron.v_threshold;
    fired.h = z[c] + fired.threshold;
    fired.spike = kOneSpike ? heaviside(z[c]) : row.spike[c];
    fired.slope = {gradient[c], kMoves ? row.by_threshold[c] : 0.0f};
    fired.d_spike = d_spike[c];
    typename Neuron::State d = at.load(c);
    const typename Neuron::Learned learned = at.learnt(c);
    typename Neuron::Learned d_learned;
    if constexpr (Neuron::kLearned > 0) d_learned[0] = at.d_learned[0][c];
    neuron.back_reset(fired, learned, d, d_learned);
    const float d_in = neuron.back_charge(Neuron::kReadsBefore ? row.before[c] : 0.0f, fired, learned, d, d_learned);
    at.store(c, d);
    if constexpr (Neuron::kLearned > 0) at.d_learned[0][c] = d_learned[0];
    d_input[c] = d_in;
    if constexpr (kWide) d_current[c] = d_in * gain[c];
  }
  if constexpr (!kWide) {
    for (std::int64_t c = 0; c < lanes; ++c) d_current[c] = from_float<A>(d_input[c] * gain[c]);
  }
}

template <bool kOneSpike, class A, class Neuron>
HWY_NOINLINE void backward_scan(const SequenceShape& shape, const Neuron& from, const NeuronParameters& parameters,
                                bool smooth, const BackwardTask<A>& scan, const Tile& tile) {
  constexpr bool kMoves = Neuron::kMovesThreshold;
  const Neuron neuron = from;  // which no store can change
  const Surrogate& surrogate = parameters.surrogate;
  const Surrogate* const primitive = smooth ? &surrogate : nullptr;
  const Thresholds thresholds = parameters.thresholds();
  const GradientRow gradient_row = gradient_row_of<kMoves>(surrogate, thresholds);
  const std::int64_t lanes = tile.lanes;
  BackwardState<Neuron> at;
  begin_backward(shape, neuron, scan, tile, at);
  alignas(64) float gain[kMostLanesBackward];
  alignas(64) float d_gain[kMostLanesBackward] = {};
  for (std::int64_t c = 0; c < lanes; ++c) gain[c] = scan.gain ? scan.gain[tile.channel + c] : 1.0f;
  alignas(64) float room_z[2][kMostLanesBackward];  // of this token and of the one before
  alignas(64) float room_d_spike[kMostLanesBackward];
  alignas(64) float spike[kMostLanesBackward];
  alignas(64) float gradient[kMostLanesBackward];
  alignas(64) float d_input[kMostLanesBackward];
  alignas(64) float threshold[kMoves ? kMostLanesBackward : 1];
  alignas(64) float by_threshold[kMoves ? kMostLanesBackward : 1];
  alignas(64) float before[Neuron::kReadsBefore ? kMostLanesBackward : 1];
  const float* z_before = nullptr;  // of the token before, for the kinds that read its potential
  for (std::int64_t t = shape.tokens - 1; t >= 0; --t) {
    const std::int64_t row = tile.row(shape, t);
    prefetch_ahead(scan.distance + row, -shape.channels, lanes);
    const float* const z = z_before != nullptr ? z_before : widened(scan.distance + row, room_z[t % 2], lanes);
    if (Neuron::kReadsBefore && t > 0) {
      z_before = widened(scan.distance + row - shape.channels, room_z[(t + 1) % 2], lanes);
    }
    const float* const d_spike = scan.incoming(shape, row, lanes, room_d_spike);
    if constexpr (kMoves) {
      const A* HWY_RESTRICT kept = scan.kept + row;
      for (std::int64_t c = 0; c < lanes; ++c) threshold[c] = neuron.threshold(to_float(kept[c]));
    }
    gradient_row(surrogate, thresholds, kMoves ? threshold : nullptr, z, gradient, by_threshold, lanes);
    if (!kOneSpike || scan.activity_cost != 0.0f) fire_row<kMoves>(thresholds, primitive, threshold, z, spike, lanes);
    if (scan.activity_cost != 0.0f) {
      const float cost = scan.activity_cost;
      for (std::int64_t c = 0; c < lanes; ++c) {
        room_d_spike[c] += spike[c] > 0.0f ? cost : (spike[c] < 0.0f ? -cost : 0.0f);
      }
    }
    if constexpr (Neuron::kReadsBefore) {
      membranes_before<kOneSpike>(shape, neuron, primitive, scan, tile, t, z_before, at, before);
    }
    backward_row<kOneSpike, A>(
        neuron, {z, d_spike, gradient, spike, threshold, by_threshold, before, gain, d_input, scan.d_current + row},
        lanes, at);
    if (scan.gain != nullptr) {
      const A* HWY_RESTRICT current = scan.current + row;
      for (std::int64_t c = 0; c < lanes; ++c) d_gain[c] += d_input[c] * to_float(current[c]);
    }
  }
  end_backward(shape, neuron, scan, tile, at, d_gain);
}

template <class A>
void backward_tile(const SequenceShape& shape, const NeuronParameters& parameters, bool smooth,
                   const BackwardTask<A>& scan, const Tile& tile) {
  const bool one_spike = !smooth && !parameters.thresholds().is_graded();
  with_neuron(parameters, [&](const auto& neuron) {
    if (one_spike) {
      backward_scan<true>(shape, neuron, parameters, smooth, scan, tile);
    } else {
      backward_scan<false>(shape, neuron, parameters, smooth, scan, tile);
    }
  });
}

static void backward_f32(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                         const BackwardTask<float>& scan, const Tile& tile) {
  backward_tile(shape, neuron, smooth, scan, tile);
}
static void backward_bf16(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                          const BackwardTask<Bf16>& scan, const Tile& tile) {
  backward_tile(shape, neuron, smooth, scan, tile);
}
static void gradient_of(const NeuronParameters& neuron, const float* z, float* gradient, std::int64_t lanes) {
  const Thresholds thresholds = neuron.thresholds();
  gradient_row_of<false>(neuron.surrogate, thresholds)(neuron.surrogate, thresholds, nullptr, z, gradient, nullptr,
                                                       lanes);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(backward_f32);
HWY_EXPORT(backward_bf16);
HWY_EXPORT(gradient_of);

// d_learned += the sums [learned, B, C] of each sequence, in order; of all neurons where they learn together.
void add_learned(const SequenceShape& shape, int count, bool per_layer, const float* sums,
                 float* d_learned) noexcept {
  const std::int64_t plane = shape.batch * shape.channels;
  for (int i = 0; i < count; ++i) {
    if (!per_layer) {
      add_over_batch(shape, sums + i * plane, d_learned + i * shape.channels);
      continue;
    }
    double sum = 0.0;
    for (std::int64_t j = 0; j < plane; ++j) sum += static_cast<double>(sums[i * plane + j]);
    d_learned[i] += static_cast<float>(sum);
  }
}

}  // namespace

void spike_gradient_row(const NeuronParameters& neuron, const float* z, float* gradient,
                        std::int64_t lanes) noexcept {
  HWY_DYNAMIC_DISPATCH(gradient_of)(neuron, z, gradient, lanes);
}

template <class A, class D>
void spike_scan_backward(const SequenceShape& shape, const NeuronParameters& parameters, FireMode mode,
                         const SpikeScanBackward<A, D>& scan) noexcept {
  const KernelTimer timer({.name = "spike scan backward",
                           .bytes = bytes_of<A>(shape.size(), 2, 0) + bytes_of<D>(shape.size(), 1, 0)});
  NeuronParameters neuron = parameters;
  if (neuron.kind == NeuronKind::kLif && scan.learned.values != nullptr)
    neuron.kind = NeuronKind::kParametricLif;
  const BackwardTask<A> task = task_of(scan);
  const bool smooth = mode == FireMode::kSmooth;
  const std::int64_t lanes = lanes_for_all_threads(shape, kMostLanesBackward);
  parallel_for(tile_count(shape, lanes), shape.size(), [&](std::int64_t number) {
    const Tile tile = tile_at(shape, number, lanes);
    if (neuron.kind == NeuronKind::kSlidingPsn) {
      sliding_backward_tile(shape, neuron, smooth, scan, tile);
    } else if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(backward_f32)(shape, neuron, smooth, task, tile);
    } else {
      HWY_DYNAMIC_DISPATCH(backward_bf16)(shape, neuron, smooth, task, tile);
    }
  });
  if (scan.gain != nullptr) add_over_batch(shape, scan.scratch, scan.d_gain);
  if (scan.learned.values == nullptr) return;
  add_learned(shape, neuron.learned(), scan.learned.per_layer, scan.scratch + shape.batch * shape.channels,
              scan.d_learned);
}

template void spike_scan_backward(const SequenceShape&, const NeuronParameters&, FireMode,
                                  const SpikeScanBackward<float, float>&) noexcept;
template void spike_scan_backward(const SequenceShape&, const NeuronParameters&, FireMode,
                                  const SpikeScanBackward<Bf16, Bf16>&) noexcept;
template void spike_scan_backward(const SequenceShape&, const NeuronParameters&, FireMode,
                                  const SpikeScanBackward<Bf16, float>&) noexcept;

}  // namespace spikegpt
#endif
