// A linear layer without bias: a copy of a weight laid out for the products, or one packed for decoding.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/kernels/packed_product.h"

namespace spikegpt {

// Weights in the layout of the backward pass. They are laid out when it comes to them, and weights of one shape share
// the memory: copies of all at once would take as much as those of the forward pass.
class BackwardWeights {
 public:
  explicit BackwardWeights(GemmPrecision precision) : precision_(precision) {}

  // Makes room for weights [out, in].
  void add(std::int64_t out, std::int64_t in) {
    const std::pair shape(out, in);
    if (shared_.contains(shape)) return;
    shared_.emplace(shape, Shared{PackedWeight(out, in, WeightUse::kBackward, precision_), nullptr});
  }
  // Valid until the next call for a weight of that shape.
  const PackedWeight& laid_out(std::int64_t out, std::int64_t in, const float* weight) {
    Shared& shared = shared_.at({out, in});
    if (shared.weight != weight) {
      shared.packed.pack(weight);
      shared.weight = weight;
    }
    return shared.packed;
  }
  // To be called when weights change.
  void forget() {
    for (auto& [shape, shared] : shared_) shared.weight = nullptr;
  }

 private:
  struct Shared {
    PackedWeight packed;
    const float* weight;  // what is laid out now
  };
  GemmPrecision precision_;
  std::map<std::pair<std::int64_t, std::int64_t>, Shared> shared_;
};

class Linear {
 public:
  // `backward` is null in a network that is not trained, else it must outlive the layer.
  Linear(std::int64_t out, std::int64_t in, GemmPrecision precision, BackwardWeights* backward)
      : out_(out), in_(in), backward_(backward) {
    forward_.emplace(out, in, WeightUse::kForward, precision);
    if (backward_ != nullptr) backward_->add(out, in);
  }

  // Reads a packed weight, which must outlive the layer.
  explicit Linear(const PackedMatrix& packed) : out_(packed.outputs()), in_(packed.inputs()), packed_(&packed) {}

  // The packed weight, or nullptr.
  const PackedMatrix* packed() const noexcept { return packed_; }

  // Takes new values of the weight [out, in], times `scale`. The backward pass, for which scale must be 1, reads them
  // again.
  void pack(const float* weight, float scale = 1.0f) {
    weight_ = weight;
    std::vector<float> scaled;
    if (scale != 1.0f) {
      scaled.assign(weight, weight + out_ * in_);
      for (float& value : scaled) value *= scale;
      weight = scaled.data();
    }
    forward_->pack(weight);
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
    ensure(backward_ != nullptr, "a network that is not trained has no backward pass");
    backward_->laid_out(out_, in_, weight_).multiply(rows, d_y, d_x);
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
  BackwardWeights* backward_ = nullptr;
  const float* weight_ = nullptr;
  const PackedMatrix* packed_ = nullptr;
};

}  // namespace spikegpt
