#include "spikegpt/train/divergence_guard.h"

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr double kFastRate = 1.0 / 5.0;
constexpr double kSlowRate = 1.0 / 100.0;
constexpr std::int64_t kFirstJudged = 20;  // before, the means say little

}  // namespace

void DivergenceGuard::observe(std::int64_t step, double loss, RunState& run) const {
  if (run.guarded_steps == 0) run.fast_loss = run.slow_loss = loss;
  ++run.guarded_steps;
  run.fast_loss += kFastRate * (loss - run.fast_loss);
  run.slow_loss += kSlowRate * (loss - run.slow_loss);
  if (spike_ == 0.0 || run.guarded_steps < kFirstJudged || run.fast_loss <= spike_ * run.slow_loss) return;
  throw Error(ErrorKind::kDiverged,
              "step {}: the loss runs away: {:.3f} over the last steps, {:.3f} over the last hundred; try a smaller "
              "--lr, or --loss-spike 0 if that is in the nature of the text",
              step, run.fast_loss, run.slow_loss);
}

}  // namespace spikegpt
