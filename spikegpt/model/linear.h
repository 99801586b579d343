// A linear layer without bias: packed copies of a weight for both directions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spikegpt/kernels/gemm.h"

namespace spikegpt {

class Linear {
 public:
  // Without `trainable` there is no backward copy.
  Linear(std::int64_t out, std::int64_t in, GemmPrecision precision, bool trainable)
      : out_(out), in_(in), forward_(out, in, WeightUse::kForward, precision) {
    if (trainable) backward_.emplace(out, in, WeightUse::kBackward, precision);
  }

  // Takes new values of the weight [out, in], times `scale`.
  void pack(const float* weight, float scale = 1.0f) {
    std::vector<float> scaled;
    if (scale != 1.0f) {
      scaled.assign(weight, weight + out_ * in_);
      for (float& value : scaled) value *= scale;
      weight = scaled.data();
    }
    forward_.pack(weight);
    if (backward_) backward_->pack(weight);
  }

  // y [rows, out] = x [rows, in] W^T
  template <class A, class Y>
  void forward(std::int64_t rows, const A* x, Y* y, Epilogue epilogue = Epilogue::kNone) const {
    forward_.multiply(rows, x, y, epilogue);
  }
  // d_x [rows, in] = d_y [rows, out] W
  template <class A>
  void backward_input(std::int64_t rows, const A* d_y, A* d_x) const {
    backward_->multiply(rows, d_y, d_x);
  }
  // d_weight [out, in] += d_y^T x
  template <class A>
  void backward_weight(std::int64_t rows, const A* d_y, const A* x, float* d_weight) const {
    weight_gradient({rows, out_, in_}, d_y, x, d_weight, true);
  }

 private:
  std::int64_t out_;
  std::int64_t in_;
  PackedWeight forward_;
  std::optional<PackedWeight> backward_;
};

}  // namespace spikegpt
