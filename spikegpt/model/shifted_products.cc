#include "spikegpt/model/shifted_products.h"

#include <cstring>

namespace spikegpt {
namespace {

const ProductForm& form_of(const HalfForm& half, std::size_t product) { return half.mixer.products[product]; }

// The mixes of the input, one for each product.
template <class A>
TokenShiftForward<A> shift_of(const MixerPass<A>& mix, std::span<const ShiftedProduct<A>> products) {
  TokenShiftForward<A> shift;
  shift.x = mix.keep.input;
  shift.mixes = products.size();
  for (std::size_t j = 0; j < products.size(); ++j) {
    shift.mu[j] = mix.weights[form_of(mix.half, products[j].product).from];
    shift.mixed[j] = mix.pass.scratch->part[j];
  }
  if (!mix.state_in.empty()) shift.previous = mix.state_in[0];
  return shift;
}

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

void packed_products(const MixerPass<float>& mix, const TokenShiftForward<float>& shift,
                     std::span<const ShiftedProduct<float>> products, float* pairs) {
  const SequenceShape& shape = mix.pass.shape;
  const bool folded = mix.products[products[0].product].packed()->inputs() == 2 * shape.channels;
  if (folded) {
    pair_with_previous(shape, shift, pairs);
  } else {
    token_shift_forward(shape, shift);
  }
  std::array<PackedProduct, kMaxMixes> packed;
  for (std::size_t j = 0; j < products.size(); ++j) {
    packed[j] = {mix.products[products[j].product].packed(), folded ? pairs : shift.mixed[j], products[j].y,
                 form_of(mix.half, products[j].product).squares};
  }
  mix.pass.runner->run(shape.rows(), std::span(packed).first(products.size()));
}

}  // namespace

StateForm shift_state(const MixerContext& context) {
  return {std::string(context.state) + "_shift", context.config.n_embd};
}

template <class A>
void shifted_products(const MixerPass<A>& mix, std::span<const ShiftedProduct<A>> products, A* pairs) {
  TokenShiftForward<A> shift = shift_of(mix, products);
  if (!mix.state_out.empty()) shift.last = mix.state_out[0];
  if constexpr (std::is_same_v<A, float>) {
    if (mix.products[products[0].product].packed() != nullptr) return packed_products(mix, shift, products, pairs);
  }
  token_shift_forward(mix.pass.shape, shift);
  for (std::size_t j = 0; j < products.size(); ++j) {
    const bool squares = form_of(mix.half, products[j].product).squares;
    mix.products[products[j].product].forward(mix.pass.shape.rows(), shift.mixed[j], products[j].y, mix.pass.runner,
                                              squares ? Epilogue::kSquaredRelu : Epilogue::kNone);
  }
}

template <class A>
void shifted_products_backward(const MixerPass<A>& mix, std::span<const ShiftedProduct<A>> products, A* d_x,
                               std::span<float* const> gradients) {
  const std::int64_t rows = mix.pass.shape.rows();
  const TokenShiftForward<A> again = shift_of(mix, products);
  token_shift_forward(mix.pass.shape, again);
  TokenShiftBackward<A> shift;
  shift.x = mix.keep.input;
  shift.previous = again.previous;
  shift.mixes = products.size();
  shift.mu = again.mu;
  shift.d_x = d_x;
  shift.scratch = mix.pass.scratch->sums;
  for (std::size_t j = 0; j < products.size(); ++j) {
    const ProductForm& form = form_of(mix.half, products[j].product);
    const Linear& linear = mix.products[products[j].product];
    linear.backward_weight(rows, products[j].y, again.mixed[j], gradients[form.weight]);
    // The mix is done with: its memory takes its gradient.
    linear.backward_input(rows, products[j].y, again.mixed[j]);
    shift.d_mixed[j] = again.mixed[j];
    shift.d_mu[j] = gradients[form.from];
  }
  token_shift_backward(mix.pass.shape, shift);
}

template void shifted_products(const MixerPass<float>&, std::span<const ShiftedProduct<float>>, float*);
template void shifted_products(const MixerPass<Bf16>&, std::span<const ShiftedProduct<Bf16>>, Bf16*);
template void shifted_products_backward(const MixerPass<float>&, std::span<const ShiftedProduct<float>>, float*,
                                        std::span<float* const>);
template void shifted_products_backward(const MixerPass<Bf16>&, std::span<const ShiftedProduct<Bf16>>, Bf16*,
                                        std::span<float* const>);

}  // namespace spikegpt
