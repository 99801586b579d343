// The sliding parallel spiking neuron: a weighted sum of the last few inputs, and no reset (Fang et al.
// 2023).
#pragma once

#include "spikegpt/neurons/neuron.h"

namespace spikegpt {

struct SlidingPsnSettings {
  int taps = 4;
  bool operator==(const SlidingPsnSettings&) const = default;

  // As QifSettings::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("psn_taps", self.taps, "sliding_psn: inputs that it looks back on, the present one included", 1,
            32);
  }
};

// h[t] = sum over j < taps of w[j] x[t - (taps - 1) + j]; it fires where h + bias reaches 0. It learns w and
// the bias, in this order, for a layer. Its state is the last taps - 1 inputs, the oldest first, zero before
// the first token. The potential it is measured by is h + bias + v_threshold, so that every way to fire
// applies to it.
struct SlidingPsn {
  int taps;
  Thresholds thresholds;

  SlidingPsn(const LifParameters& p, const SlidingPsnSettings& own) noexcept
      : taps(own.taps), thresholds(p.thresholds()) {}
  int states() const noexcept { return taps - 1; }
  int learned() const noexcept { return taps + 1; }
  // Weight j, or the bias, before training: the present input counts 1, each older one half of the next.
  float first_learned(int j, double) const noexcept {
    if (j == taps) return -1.0f;
    float weight = 1.0f;
    for (int i = j + 1; i < taps; ++i) weight *= 0.5f;
    return weight;
  }
};

inline constexpr const char* kSlidingPsnStates[] = {"input"};
inline constexpr const char* kSlidingPsnLearned[] = {"taps"};
inline constexpr NeuronInfo kSlidingPsnInfo = {
    .name = "sliding_psn",
    .about = "weighted sum of the last psn_taps inputs, without a reset",
    .formula = "h = sum of w[j] x[t - taps + 1 + j];  s = 1 if h + bias >= 0",
    .source = "Fang et al. 2023, arXiv 2304.12760",
    .states = kSlidingPsnStates,
    .learned = kSlidingPsnLearned,
    .uses = 0,
    .operations = {.additions = 2},
};

}  // namespace spikegpt
