// Ways to fire: what a neuron sends when its potential has reached the threshold. Each goes with every kind
// of neuron.
#pragma once

#include "spikegpt/core/inline.h"
#include "spikegpt/neurons/heaviside.h"

namespace spikegpt {

// Where a neuron fires. One with several thresholds is graded: they lie at 1, ..., levels times the first,
// and if it is signed at as many below rest, where it sends negative spikes. z is the potential minus the
// first threshold.
//
// With a dead zone (payload_steps > 0) it is silent between the thresholds, and beyond them sends its
// potential as a whole number of steps, of which payload_steps make a threshold. The gradient is that of
// potential / step everywhere (straight-through); without a sign, that of relu(potential) / step.
struct Thresholds {
  float first;
  int levels;
  bool is_signed;
  int payload_steps = 0;

  // More than the spike of SPEC.md 1; such neurons reset softly.
  bool is_graded() const noexcept { return levels > 1 || is_signed || has_dead_zone(); }
  bool has_dead_zone() const noexcept { return payload_steps > 0; }
  // What one of the spikes sent stands for, as a potential: the soft reset takes it away.
  float unit() const noexcept { return has_dead_zone() ? first / static_cast<float>(payload_steps) : first; }
  // The largest number a neuron may send.
  int most() const noexcept { return has_dead_zone() ? kMostPayload : levels; }

  // The i-th spike is step(offset + slope * z) * slope; the slope is -1 for a negative one. It lies at
  // `multiple` times the first threshold. Not for a dead zone.
  struct Threshold {
    float offset;
    float slope;
    float multiple;
  };
  int count() const noexcept { return is_signed ? 2 * levels : levels; }
  Threshold at(int i) const noexcept {
    if (i < levels) return {-static_cast<float>(i) * first, 1.0f, static_cast<float>(i + 1)};
    return {-static_cast<float>(i - levels + 2) * first, -1.0f, static_cast<float>(levels - i - 1)};
  }
  // All of them together: kSigned is is_signed, which a loop over neurons must know before it begins.
  template <bool kSigned>
  SPIKEGPT_INLINE float spikes(float z) const noexcept {
    const float inverse = 1.0f / first;
    const float most_above = static_cast<float>(levels) - 1.0f;
    const float positive = thresholds_reached(z, first, inverse, 0.0f, most_above);
    if constexpr (!kSigned) return positive;
    return positive - thresholds_reached(-z, first, inverse, 2.0f, most_above + 2.0f);
  }
  // What a neuron with a dead zone sends. `inverse_unit` is 1 / unit().
  template <bool kSigned>
  SPIKEGPT_INLINE float payload(float z, float inverse_unit) const noexcept {
    const float sent = payload_of((z + first) * inverse_unit);
    const float fires = kSigned ? heaviside(z) + heaviside(-z - 2.0f * first) : heaviside(z);
    return fires > 0.0f ? sent : 0.0f;
  }
};

}  // namespace spikegpt
