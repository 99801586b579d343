#include "spikegpt/model/mixed_products.h"

#include <cstring>

namespace spikegpt {
namespace {

// pairs [B, T, 2C] = [x[t] | x[t-1]].
void pair_with_previous(const SequenceShape& shape, const TokenShiftForward<float>& shift, float* pairs) {
  const auto row_bytes = static_cast<std::size_t>(shape.channels) * sizeof(float);
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    const float* previous = shift.previous == nullptr ? nullptr : shift.previous + b * shape.channels;
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      const std::int64_t row = b * shape.tokens + t;
      const float* const x = shift.x + row * shape.channels;
      float* const pair = pairs + row * 2 * shape.channels;
      std::memcpy(pair, x, row_bytes);
      if (previous == nullptr) {
        std::memset(pair + shape.channels, 0, row_bytes);
      } else {
        std::memcpy(pair + shape.channels, previous, row_bytes);
      }
      previous = x;
    }
    if (shift.last != nullptr) std::memcpy(shift.last + b * shape.channels, previous, row_bytes);
  }
}

void packed_products(const Pass<float>& pass, const TokenShiftForward<float>& shift,
                     const std::array<MixedProduct<float>, kMaxMixes>& products, float* pairs) {
  const bool folded = products[0].weight->packed()->inputs() == 2 * pass.shape.channels;
  if (folded) {
    pair_with_previous(pass.shape, shift, pairs);
  } else {
    token_shift_forward(pass.shape, shift);
  }
  std::array<PackedProduct, kMaxMixes> packed;
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    packed[j] = {products[j].weight->packed(), folded ? pairs : shift.mixed[j], products[j].y,
                 products[j].epilogue == Epilogue::kSquaredRelu};
  }
  pass.runner->run(pass.shape.rows(), std::span(packed).first(shift.mixes));
}

}  // namespace

template <class A>
void mixed_products(const Pass<A>& pass, const TokenShiftForward<A>& shift,
                    const std::array<MixedProduct<A>, kMaxMixes>& products, A* pairs) {
  if constexpr (std::is_same_v<A, float>) {
    if (products[0].weight->packed() != nullptr) return packed_products(pass, shift, products, pairs);
  }
  token_shift_forward(pass.shape, shift);
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    products[j].weight->forward(pass.shape.rows(), shift.mixed[j], products[j].y, pass.runner, products[j].epilogue);
  }
}

template void mixed_products(const Pass<float>&, const TokenShiftForward<float>&,
                             const std::array<MixedProduct<float>, kMaxMixes>&, float*);
template void mixed_products(const Pass<Bf16>&, const TokenShiftForward<Bf16>&,
                             const std::array<MixedProduct<Bf16>, kMaxMixes>&, Bf16*);

}  // namespace spikegpt
