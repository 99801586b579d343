// Products that read a token mixed with the one before: r, k and v of a time mix, r and k of a channel mix (SPEC.md 3).
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/mixer.h"

namespace spikegpt {

// One of them: y [N, outputs] = W mix(x, mu), x = keep.input, squared where its form says so. Backward, y is the
// gradient of W mix(x, mu).
template <class A>
struct ShiftedProduct {
  std::size_t product = 0;  // index into the mixer's products
  A* y = nullptr;
};

// The state that they leave: the last token's input, one value a channel.
StateForm shift_state(const MixerContext& context);

// At most kMaxMixes products. The mixed inputs go to scratch 0, 1 and 2; a model with the token shift folded into its
// weights puts [x[t] | x[t-1]] into `pairs` [N, 2C] instead, and multiplies nothing by mu. The mixer's state 0 is
// shift_state().
template <class A>
void shifted_products(const MixerPass<A>& mix, std::span<const ShiftedProduct<A>> products, A* pairs);

// Adds to the gradients of weights and token shifts; d_x [N, C] is overwritten. Scratch 0, 1 and 2 are used.
template <class A>
void shifted_products_backward(const MixerPass<A>& mix, std::span<const ShiftedProduct<A>> products, A* d_x,
                               std::span<float* const> gradients);

}  // namespace spikegpt
