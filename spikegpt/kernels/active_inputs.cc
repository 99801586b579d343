#include "spikegpt/kernels/active_inputs.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/active_inputs.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Writes where x [n] is not zero and returns how often. index has room for one vector more than n.
static std::int64_t find_active(std::int64_t n, const float* HWY_RESTRICT x, std::int32_t* HWY_RESTRICT index) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  std::int64_t count = 0;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto active = hn::Ne(hn::LoadU(df, x + i), hn::Zero(df));
    if (hn::AllFalse(df, active)) continue;
    const auto places = hn::Iota(di, static_cast<std::int32_t>(i));
    count += static_cast<std::int64_t>(hn::CompressStore(places, hn::RebindMask(di, active), di, index + count));
  }
  for (; i < n; ++i) {
    index[count] = static_cast<std::int32_t>(i);
    count += x[i] != 0.0f;
  }
  return count;
}

// Their values, and what kind they are.
static ActivityKind take_values(std::int64_t count, const float* HWY_RESTRICT x,
                                const std::int32_t* HWY_RESTRICT index, float* HWY_RESTRICT coefficient) {
  std::int32_t others = 0;   // than one
  std::int32_t strange = 0;  // not whole, or too large
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = x[index[i]];
    const float bounded = std::min(std::max(-127.0f, value), 127.0f);  // NaN becomes -127
    coefficient[i] = value;
    others |= value != 1.0f;
    strange |= static_cast<float>(static_cast<std::int32_t>(bounded)) != value;
  }
  if (others == 0) return ActivityKind::kSpikes;
  return strange == 0 ? ActivityKind::kCounts : ActivityKind::kGraded;
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <cmath>

namespace spikegpt {
namespace {

HWY_EXPORT(find_active);
HWY_EXPORT(take_values);
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
  count_ = HWY_DYNAMIC_DISPATCH(find_active)(n, x, index_.data());
  kind_ = HWY_DYNAMIC_DISPATCH(take_values)(count_, x, index_.data(), coefficient_.data());
  events_ = count_;
  if (kind_ != ActivityKind::kCounts) return;
  double sum = 0.0;
  for (std::int64_t i = 0; i < count_; ++i) sum += std::abs(static_cast<double>(coefficient()[i]));
  events_ = static_cast<std::int64_t>(sum);
}

}  // namespace spikegpt
#endif
