// Notices a loss that runs away, before it is infinite.
#pragma once

#include "spikegpt/train/checkpoint.h"

namespace spikegpt {

// Compares the mean loss of about the last 5 steps with that of about the last 100. Single bad batches pass; a loss
// that stays up does not. The means live in RunState, so that a resumed run decides as one that never stopped.
class DivergenceGuard {
 public:
  // `spike`: how many times the slow mean the fast one may be; 0 = anything goes.
  explicit DivergenceGuard(double spike) : spike_(spike) {}

  // Takes in the loss of a step. Throws Error (kDiverged) when it has run away.
  void observe(std::int64_t step, double loss, RunState& run) const;

 private:
  double spike_;
};

}  // namespace spikegpt
