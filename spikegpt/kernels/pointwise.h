// Element-wise steps between the matrix products: the receptance gate, the square of relu, residual sums with
// dropout, and conversions.
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// output[i] = sigmoid(receptance[i]) * value[i], SPEC.md 5. output may be value.
template <class A>
void sigmoid_gate_forward(std::int64_t n, const A* receptance, const A* value, A* output) noexcept;
// d_receptance may be d_output; d_value may be d_output if d_receptance is not.
template <class A>
struct SigmoidGateBackward {
  const A* receptance = nullptr;
  const A* value = nullptr;
  const A* d_output = nullptr;
  A* d_receptance = nullptr;
  A* d_value = nullptr;
};
template <class A>
void sigmoid_gate_backward(std::int64_t n, const SigmoidGateBackward<A>& gate) noexcept;

// In place: a = relu(a)^2, SPEC.md 5.
template <class A>
void squared_relu_forward(std::int64_t n, A* a) noexcept;
// In place: d becomes the gradient of k where a = relu(k)^2 is kept and d is the gradient of a.
template <class A>
void squared_relu_backward(std::int64_t n, const A* a, A* d) noexcept;

// Dropout of a residual stream: element i of the stream survives with probability 1 - p and is scaled by
// 1 / (1 - p). The mask is a function of (seed, stream, i), so the backward pass makes it again.
struct Dropout {
  float probability = 0.0f;
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  // a different one for every use: step, micro-batch and layer
};

// out = dropout(x + branch). out may be x.
template <class A>
void residual_add(std::int64_t n, const float* x, const A* branch, const Dropout& dropout, float* out) noexcept;
// In place: d becomes the gradient before dropout. Does nothing when the probability is 0.
void dropout_backward(std::int64_t n, const Dropout& dropout, float* d) noexcept;

// How many of a [n] are not zero.
template <class A>
std::int64_t count_nonzero(std::int64_t n, const A* a) noexcept;

// Conversion between float and the activation type.
void convert(std::int64_t n, const float* from, Bf16* to) noexcept;
void convert(std::int64_t n, const Bf16* from, float* to) noexcept;
void convert(std::int64_t n, const float* from, float* to) noexcept;

}  // namespace spikegpt
