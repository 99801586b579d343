#include "spikegpt/kernels/active_inputs.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/active_inputs.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns how many of x [n] are not zero, and sets their kind. index and coefficient have room for one vector more
// than n.
static std::int64_t compress(std::int64_t n, const float* HWY_RESTRICT x, std::int32_t* HWY_RESTRICT index,
                             float* HWY_RESTRICT coefficient, ActivityKind* kind) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto zero = hn::Zero(df);
  const auto one = hn::Set(df, 1.0f);
  const auto largest = hn::Set(df, 127.0f);
  std::int64_t count = 0;
  auto not_one = hn::FirstN(df, 0);
  auto not_whole = hn::FirstN(df, 0);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto value = hn::LoadU(df, x + i);
    const auto active = hn::Ne(value, zero);
    if (hn::AllFalse(df, active)) continue;
    const auto small = hn::And(hn::Eq(hn::Round(value), value), hn::Le(hn::Abs(value), largest));
    not_one = hn::Or(not_one, hn::And(active, hn::Ne(value, one)));
    not_whole = hn::Or(not_whole, hn::Not(small));
    hn::CompressStore(hn::Iota(di, static_cast<std::int32_t>(i)), hn::RebindMask(di, active), di, index + count);
    count += static_cast<std::int64_t>(hn::CompressStore(value, active, df, coefficient + count));
  }
  bool all_one = hn::AllFalse(df, not_one);
  bool all_whole = hn::AllFalse(df, not_whole);
  for (; i < n; ++i) {
    if (x[i] == 0.0f) continue;
    index[count] = static_cast<std::int32_t>(i);
    coefficient[count] = x[i];
    ++count;
    const bool small = x[i] >= -127.0f && x[i] <= 127.0f;
    all_one = all_one && x[i] == 1.0f;
    all_whole = all_whole && small && static_cast<float>(static_cast<int>(x[i])) == x[i];
  }
  *kind = all_one ? ActivityKind::kSpikes : all_whole ? ActivityKind::kCounts : ActivityKind::kGraded;
  return count;
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <cmath>

namespace spikegpt {
namespace {

HWY_EXPORT(compress);
constexpr std::size_t kMargin = 16;  // floats of the widest vector

}  // namespace

ActiveInputs::ActiveInputs(std::int64_t inputs)
    : index_(static_cast<std::size_t>(inputs) + kMargin), coefficient_(static_cast<std::size_t>(inputs) + kMargin) {
  for (Signed& inputs_of_sign : signed_) {
    inputs_of_sign.index = AlignedBuffer<std::int32_t>(static_cast<std::size_t>(inputs) + 2);
    inputs_of_sign.size = AlignedBuffer<std::uint8_t>(static_cast<std::size_t>(inputs) + 2);
  }
}

void ActiveInputs::pair_up() noexcept {
  std::array<std::size_t, 2> counts = {};
  for (std::int64_t i = 0; i < count_; ++i) {  // no branch: signs cannot be foretold
    const float x = coefficient()[i];
    const std::size_t sign = x < 0.0f ? 1 : 0;
    const std::size_t at = counts[sign]++;
    signed_[sign].index[at] = index()[i];
    signed_[sign].size[at] = static_cast<std::uint8_t>(std::abs(x));
  }
  for (std::size_t sign = 0; sign < 2; ++sign) {
    Signed& inputs = signed_[sign];
    inputs.count = counts[sign];
    if (inputs.count % 2 == 0) continue;
    inputs.index[inputs.count] = inputs.index[inputs.count - 1];
    inputs.size[inputs.count++] = 0;
  }
}

void ActiveInputs::find(std::int64_t n, const float* x) noexcept {
  count_ = HWY_DYNAMIC_DISPATCH(compress)(n, x, index_.data(), coefficient_.data(), &kind_);
  events_ = count_;
  if (kind_ != ActivityKind::kCounts) return;
  double sum = 0.0;
  for (std::int64_t i = 0; i < count_; ++i) sum += std::abs(static_cast<double>(coefficient()[i]));
  events_ = static_cast<std::int64_t>(sum);
}

}  // namespace spikegpt
#endif
