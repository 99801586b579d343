// Products that read a token mixed with the one before: r, k and v of a time mix, r and k of a channel mix (SPEC.md 3).
#pragma once

#include <array>
#include <cstdint>

#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/linear.h"
#include "spikegpt/model/pass.h"

namespace spikegpt {

// One of them: y [N, outputs].
template <class A>
struct MixedProduct {
  const Linear* weight = nullptr;
  A* y = nullptr;
  Epilogue epilogue = Epilogue::kNone;
};

// Runs shift.mixes products. shift.mixed is where the mixed inputs go; a model with the token shift folded into its
// weights puts [x[t] | x[t-1]] into `pairs` [N, 2C] instead, and multiplies nothing by mu.
template <class A>
void mixed_products(const Pass<A>& pass, const TokenShiftForward<A>& shift,
                    const std::array<MixedProduct<A>, kMaxMixes>& products, A* pairs);

}  // namespace spikegpt
