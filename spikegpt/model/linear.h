// A linear layer without bias: copies of a weight laid out for both directions, or one packed for decoding.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "spikegpt/kernels/gemm.h"
#include "spikegpt/kernels/packed_product.h"

namespace spikegpt {

class Linear {
 public:
  // Without `trainable` there is no backward copy.
  Linear(std::int64_t out, std::int64_t in, GemmPrecision precision, bool trainable)
      : out_(out), in_(in) {
    forward_.emplace(out, in, WeightUse::kForward, precision);
    if (trainable) backward_.emplace(out, in, WeightUse::kBackward, precision);
  }

  // Reads a packed weight, which must outlive the layer.
  explicit Linear(const PackedMatrix& packed) : out_(packed.outputs()), in_(packed.inputs()), packed_(&packed) {}

  // The packed weight, or nullptr.
  const PackedMatrix* packed() const noexcept { return packed_; }

  // Takes new values of the weight [out, in], times `scale`.
  void pack(const float* weight, float scale = 1.0f) {
    std::vector<float> scaled;
    if (scale != 1.0f) {
      scaled.assign(weight, weight + out_ * in_);
      for (float& value : scaled) value *= scale;
      weight = scaled.data();
    }
    forward_->pack(weight);
    if (backward_) backward_->pack(weight);
  }

  // y [rows, out] = x [rows, in] W^T. `runner` is needed by a packed weight only.
  template <class A, class Y>
  void forward(std::int64_t rows, const A* x, Y* y, PackedRunner* runner, Epilogue epilogue = Epilogue::kNone) const {
    if constexpr (std::is_same_v<A, float> && std::is_same_v<Y, float>) {
      if (packed_ != nullptr) {
        const PackedProduct products[] = {{packed_, x, y, epilogue == Epilogue::kSquaredRelu}};
        return runner->run(rows, products);
      }
    }
    forward_->multiply(rows, x, y, epilogue);
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
  std::optional<PackedWeight> forward_;
  std::optional<PackedWeight> backward_;
  const PackedMatrix* packed_ = nullptr;
};

}  // namespace spikegpt
