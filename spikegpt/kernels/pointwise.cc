#include "spikegpt/kernels/pointwise.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/pointwise.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>
#include <cmath>
#include <cstring>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/exponential.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {

template <class A>
SPIKEGPT_INLINE void gate(std::int64_t n, const A* HWY_RESTRICT receptance, const A* value, A* output) {
  SPIKEGPT_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < n; ++i) {
    output[i] = from_float<A>(sigmoid(to_float(receptance[i])) * to_float(value[i]));
  }
}

template <class A>
SPIKEGPT_INLINE void gate_gradient(const Piece& piece, const SigmoidGateBackward<A>& gate) {
  const A* receptance = gate.receptance + piece.first;
  const A* value = gate.value + piece.first;
  const A* d_output = gate.d_output + piece.first;
  A* d_receptance = gate.d_receptance + piece.first;
  A* d_value = gate.d_value + piece.first;
  SPIKEGPT_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < piece.size; ++i) {
    const float d = to_float(d_output[i]);
    const float open = sigmoid(to_float(receptance[i]));
    const float v = to_float(value[i]);
    d_receptance[i] = from_float<A>(d * v * open * (1.0f - open));
    d_value[i] = from_float<A>(d * open);
  }
}

template <class A>
SPIKEGPT_INLINE void square_relu(std::int64_t n, A* a) {
  SPIKEGPT_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = to_float(a[i]);
    const float positive = x > 0.0f ? x : 0.0f;
    a[i] = from_float<A>(positive * positive);
  }
}

template <class A>
SPIKEGPT_INLINE std::int64_t nonzero_count(std::int64_t n, const A* a) {
  std::int32_t count = 0;  // of a piece
  for (std::int64_t i = 0; i < n; ++i) count += to_float(a[i]) != 0.0f ? 1 : 0;
  return count;
}

template <class A>
SPIKEGPT_INLINE void relu_gradient(std::int64_t n, const A* HWY_RESTRICT a, A* HWY_RESTRICT d) {
  for (std::int64_t i = 0; i < n; ++i) {
    d[i] = from_float<A>(to_float(d[i]) * (2.0f * std::sqrt(to_float(a[i]))));
  }
}

// Scales of kMaskElements neighbouring elements: 0 or 1 / (1 - p). Eight elements share a Philox block.
constexpr std::int64_t kMaskBlocks = 16;
constexpr std::int64_t kMaskElements = 8 * kMaskBlocks;

SPIKEGPT_INLINE void dropout_scales(const Dropout& dropout, std::int64_t first, float* HWY_RESTRICT scales) {
  const Philox philox = philox_from_seed(dropout.seed);
  const auto threshold = static_cast<std::uint32_t>(dropout.probability * 65536.0f);
  const float keep = 1.0f / (1.0f - static_cast<float>(threshold) / 65536.0f);
  alignas(64) std::uint32_t words[4][kMaskBlocks];
  for (std::int64_t block = 0; block < kMaskBlocks; ++block) {
    const auto random = philox(static_cast<std::uint64_t>(first / 8 + block), dropout.stream);
    for (std::size_t word = 0; word < 4; ++word) words[word][block] = random[word];
  }
  for (std::size_t word = 0; word < 4; ++word) {
    for (std::int64_t block = 0; block < kMaskBlocks; ++block) {
      const std::uint32_t w = words[word][block];
      float* pair = scales + (static_cast<std::int64_t>(word) * 2) * kMaskBlocks + block;
      pair[0] = (w & 0xffffu) < threshold ? 0.0f : keep;
      pair[kMaskBlocks] = (w >> 16) < threshold ? 0.0f : keep;
    }
  }
}

template <class A>
SPIKEGPT_INLINE void add_residual(const Piece& piece, const float* x, const A* HWY_RESTRICT branch,
                                  const Dropout& dropout, float* out) {
  const std::int64_t end = piece.first + piece.size;
  if (dropout.probability <= 0.0f) {
    SPIKEGPT_INDEPENDENT_ITERATIONS
    for (std::int64_t i = piece.first; i < end; ++i) out[i] = x[i] + to_float(branch[i]);
    return;
  }
  alignas(64) float scales[kMaskElements];
  for (std::int64_t first = piece.first; first < end; first += kMaskElements) {
    dropout_scales(dropout, first, scales);
    const std::int64_t size = std::min(kMaskElements, end - first);
    SPIKEGPT_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < size; ++i) {
      out[first + i] = (x[first + i] + to_float(branch[first + i])) * scales[i];
    }
  }
}

static void drop_gradient(const Piece& piece, const Dropout& dropout, float* HWY_RESTRICT d) {
  const std::int64_t end = piece.first + piece.size;
  alignas(64) float scales[kMaskElements];
  for (std::int64_t first = piece.first; first < end; first += kMaskElements) {
    dropout_scales(dropout, first, scales);
    const std::int64_t size = std::min(kMaskElements, end - first);
    for (std::int64_t i = 0; i < size; ++i) d[first + i] *= scales[i];
  }
}

static void gate_f32(std::int64_t n, const float* r, const float* v, float* out) { gate(n, r, v, out); }
static void gate_bf16(std::int64_t n, const Bf16* r, const Bf16* v, Bf16* out) { gate(n, r, v, out); }
static void gate_gradient_f32(const Piece& piece, const SigmoidGateBackward<float>& g) { gate_gradient(piece, g); }
static void gate_gradient_bf16(const Piece& piece, const SigmoidGateBackward<Bf16>& g) { gate_gradient(piece, g); }
static void square_relu_f32(std::int64_t n, float* a) { square_relu(n, a); }
static void square_relu_bf16(std::int64_t n, Bf16* a) { square_relu(n, a); }
static std::int64_t nonzero_count_f32(std::int64_t n, const float* a) { return nonzero_count(n, a); }
static std::int64_t nonzero_count_bf16(std::int64_t n, const Bf16* a) { return nonzero_count(n, a); }
static void relu_gradient_f32(std::int64_t n, const float* a, float* d) { relu_gradient(n, a, d); }
static void relu_gradient_bf16(std::int64_t n, const Bf16* a, Bf16* d) { relu_gradient(n, a, d); }
static void add_residual_f32(const Piece& piece, const float* x, const float* branch, const Dropout& dropout,
                             float* out) {
  add_residual(piece, x, branch, dropout, out);
}
static void add_residual_bf16(const Piece& piece, const float* x, const Bf16* branch, const Dropout& dropout,
                              float* out) {
  add_residual(piece, x, branch, dropout, out);
}
static void narrow(std::int64_t n, const float* HWY_RESTRICT from, Bf16* HWY_RESTRICT to) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = to_bf16(from[i]);
}
static void widen(std::int64_t n, const Bf16* HWY_RESTRICT from, float* HWY_RESTRICT to) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spikegpt {
namespace {

HWY_EXPORT(gate_f32);
HWY_EXPORT(gate_bf16);
HWY_EXPORT(gate_gradient_f32);
HWY_EXPORT(gate_gradient_bf16);
HWY_EXPORT(square_relu_f32);
HWY_EXPORT(square_relu_bf16);
HWY_EXPORT(nonzero_count_f32);
HWY_EXPORT(nonzero_count_bf16);
HWY_EXPORT(relu_gradient_f32);
HWY_EXPORT(relu_gradient_bf16);
HWY_EXPORT(add_residual_f32);
HWY_EXPORT(add_residual_bf16);
HWY_EXPORT(drop_gradient);
HWY_EXPORT(narrow);
HWY_EXPORT(widen);

template <class Body>
void for_each_piece(std::int64_t n, const Body& body) {
  parallel_for(piece_count(n), n, [&](std::int64_t task) { body(piece_at(n, task)); });
}

}  // namespace

template <class A>
void sigmoid_gate_forward(std::int64_t n, const A* receptance, const A* value, A* output) noexcept {
  const KernelTimer timer({.name = "gate forward", .bytes = bytes_of<A>(n, 3, 0)});
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(gate_f32)(p.size, receptance + p.first, value + p.first, output + p.first);
    } else {
      HWY_DYNAMIC_DISPATCH(gate_bf16)(p.size, receptance + p.first, value + p.first, output + p.first);
    }
  });
}

template <class A>
void sigmoid_gate_backward(std::int64_t n, const SigmoidGateBackward<A>& gate) noexcept {
  const KernelTimer timer({.name = "gate backward", .bytes = bytes_of<A>(n, 5, 0)});
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(gate_gradient_f32)(p, gate);
    } else {
      HWY_DYNAMIC_DISPATCH(gate_gradient_bf16)(p, gate);
    }
  });
}

template <class A>
void squared_relu_forward(std::int64_t n, A* a) noexcept {
  const KernelTimer timer({.name = "squared relu forward", .bytes = bytes_of<A>(n, 2, 0)});
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(square_relu_f32)(p.size, a + p.first);
    } else {
      HWY_DYNAMIC_DISPATCH(square_relu_bf16)(p.size, a + p.first);
    }
  });
}

template <class A>
std::int64_t count_nonzero(std::int64_t n, const A* a) noexcept {
  const KernelTimer timer({.name = "count", .bytes = bytes_of<A>(n, 1, 0)});
  std::atomic<std::int64_t> count = 0;
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      count += HWY_DYNAMIC_DISPATCH(nonzero_count_f32)(p.size, a + p.first);
    } else {
      count += HWY_DYNAMIC_DISPATCH(nonzero_count_bf16)(p.size, a + p.first);
    }
  });
  return count;
}

template <class A>
void squared_relu_backward(std::int64_t n, const A* a, A* d) noexcept {
  const KernelTimer timer({.name = "squared relu backward", .bytes = bytes_of<A>(n, 3, 0)});
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(relu_gradient_f32)(p.size, a + p.first, d + p.first);
    } else {
      HWY_DYNAMIC_DISPATCH(relu_gradient_bf16)(p.size, a + p.first, d + p.first);
    }
  });
}

template <class A>
void residual_add(std::int64_t n, const float* x, const A* branch, const Dropout& dropout, float* out) noexcept {
  const KernelTimer timer({.name = "residual sum", .bytes = bytes_of<A>(n, 1, 2)});
  for_each_piece(n, [&](const Piece& p) {
    if constexpr (std::is_same_v<A, float>) {
      HWY_DYNAMIC_DISPATCH(add_residual_f32)(p, x, branch, dropout, out);
    } else {
      HWY_DYNAMIC_DISPATCH(add_residual_bf16)(p, x, branch, dropout, out);
    }
  });
}

void dropout_backward(std::int64_t n, const Dropout& dropout, float* d) noexcept {
  if (dropout.probability <= 0.0f) return;
  const KernelTimer timer({.name = "dropout backward", .bytes = bytes_of<float>(n, 0, 2)});
  for_each_piece(n, [&](const Piece& p) { HWY_DYNAMIC_DISPATCH(drop_gradient)(p, dropout, d); });
}

void convert(std::int64_t n, const float* from, Bf16* to) noexcept {
  const KernelTimer timer({.name = "conversion", .bytes = bytes_of<Bf16>(n, 1, 1)});
  for_each_piece(n, [&](const Piece& p) { HWY_DYNAMIC_DISPATCH(narrow)(p.size, from + p.first, to + p.first); });
}

void convert(std::int64_t n, const Bf16* from, float* to) noexcept {
  for_each_piece(n, [&](const Piece& p) { HWY_DYNAMIC_DISPATCH(widen)(p.size, from + p.first, to + p.first); });
}

void convert(std::int64_t n, const float* from, float* to) noexcept {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
}

template void sigmoid_gate_forward(std::int64_t, const float*, const float*, float*) noexcept;
template void sigmoid_gate_forward(std::int64_t, const Bf16*, const Bf16*, Bf16*) noexcept;
template void sigmoid_gate_backward(std::int64_t, const SigmoidGateBackward<float>&) noexcept;
template void sigmoid_gate_backward(std::int64_t, const SigmoidGateBackward<Bf16>&) noexcept;
template std::int64_t count_nonzero(std::int64_t, const float*) noexcept;
template std::int64_t count_nonzero(std::int64_t, const Bf16*) noexcept;
template void squared_relu_forward(std::int64_t, float*) noexcept;
template void squared_relu_forward(std::int64_t, Bf16*) noexcept;
template void squared_relu_backward(std::int64_t, const float*, float*) noexcept;
template void squared_relu_backward(std::int64_t, const Bf16*, Bf16*) noexcept;
template void residual_add(std::int64_t, const float*, const float*, const Dropout&, float*) noexcept;
template void residual_add(std::int64_t, const float*, const Bf16*, const Dropout&, float*) noexcept;

}  // namespace spikegpt
#endif
