#include "spikegpt/kernels/cross_entropy.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/cross_entropy.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/row_sum.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/exponential.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

SPIKEGPT_INLINE float row_max(std::int64_t n, const float* HWY_RESTRICT x) {
  float best = x[0];
  for (std::int64_t i = 1; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

template <class A>
SPIKEGPT_INLINE void loss_row(std::int64_t row, std::int64_t vocab_size, const CrossEntropy<A>& loss) {
  const float* logits = loss.logits + row * vocab_size;
  const std::int32_t target = loss.targets[row];
  const float best = row_max(vocab_size, logits);
  const float sum = row_sum(vocab_size, [=](std::int64_t i) { return fast_exp(logits[i] - best); });
  loss.losses[row] = std::log(sum) - (logits[target] - best);
  if (loss.d_logits == nullptr) return;
  std::int64_t arg_max = 0;
  while (arg_max + 1 < vocab_size && logits[arg_max] != best) ++arg_max;
  const float at_target = fast_exp(logits[target] - best) * (loss.scale / sum) - loss.scale;
  A* d_logits = loss.d_logits + row * vocab_size;
  const float scale = loss.scale / sum;
  SPIKEGPT_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < vocab_size; ++i) {
    d_logits[i] = from_float<A>(fast_exp(logits[i] - best) * scale);
  }
  d_logits[target] = from_float<A>(at_target);
  if (loss.l2wrap == 0.0f) return;
  d_logits[arg_max] = from_float<A>(to_float(d_logits[arg_max]) + loss.scale * loss.l2wrap * best);
}

static void loss_row_f32(std::int64_t row, std::int64_t vocab_size, const CrossEntropy<float>& loss) {
  loss_row(row, vocab_size, loss);
}
static void loss_row_bf16(std::int64_t row, std::int64_t vocab_size, const CrossEntropy<Bf16>& loss) {
  loss_row(row, vocab_size, loss);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {
HWY_EXPORT(loss_row_f32);
HWY_EXPORT(loss_row_bf16);
}  // namespace

template <class A>
void cross_entropy(std::int64_t rows, std::int64_t vocab_size, const CrossEntropy<A>& loss) noexcept {
  const int gradients = loss.d_logits == nullptr ? 0 : 1;
  const KernelTimer timer({.name = "cross-entropy", .bytes = bytes_of<A>(rows * vocab_size, gradients, 1 + gradients)});
  constexpr std::int64_t kRowsPerTask = 16;
  parallel_for(piece_count(rows, kRowsPerTask), [&](std::int64_t task) {
    const Piece piece = piece_at(rows, task, kRowsPerTask);
    for (std::int64_t row = piece.first; row < piece.first + piece.size; ++row) {
      if constexpr (std::is_same_v<A, float>) {
        HWY_DYNAMIC_DISPATCH(loss_row_f32)(row, vocab_size, loss);
      } else {
        HWY_DYNAMIC_DISPATCH(loss_row_bf16)(row, vocab_size, loss);
      }
    }
  });
}

template void cross_entropy(std::int64_t, std::int64_t, const CrossEntropy<float>&) noexcept;
template void cross_entropy(std::int64_t, std::int64_t, const CrossEntropy<Bf16>&) noexcept;

}  // namespace spikegpt
#endif
