// A model with its expected behaviour, out of a golden file.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/model/architecture.h"
#include "tests/support/places.h"

namespace spikegpt::test {

inline std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(element_count(tensor)));
  copy_as_float(tensor, values);
  return values;
}

template <class T>
std::vector<T> raw_values(const TensorView& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

// The parameters of a model in the flat layout, and gradients or others laid out the same way.
class FlatParameters {
 public:
  explicit FlatParameters(const ModelConfig& config)
      : layout_(config), values_(static_cast<std::size_t>(layout_.flat_size())) {}

  const ParameterLayout& layout() const { return layout_; }
  float* data() const { return values_.data(); }
  std::int64_t size() const { return layout_.flat_size(); }
  std::span<float> of(const ParameterInfo& info) const {
    return {values_.data() + info.offset, static_cast<std::size_t>(info.size)};
  }
  void clear() { std::fill(values_.span().begin(), values_.span().end(), 0.0f); }
  void copy_from(const FlatParameters& other) {
    std::copy(other.values_.span().begin(), other.values_.span().end(), values_.span().begin());
  }

 private:
  ParameterLayout layout_;
  AlignedBuffer<float> values_;
};

// Keeps the spikes of every site, as floats [B, T, neurons].
class SpikeRecorder final : public Probe {
 public:
  void on_spikes(const SpikeRecord& record) override {
    const auto count = static_cast<std::size_t>(record.batch * record.tokens * record.neurons);
    const auto* spikes = static_cast<const float*>(record.spikes);
    auto& all = spikes_[record.site];
    all.insert(all.end(), spikes, spikes + count);
  }
  const std::vector<float>& site(int index) { return spikes_[index]; }
  void clear() { spikes_.clear(); }

 private:
  std::map<int, std::vector<float>> spikes_;
};

// Relative distance of a gradient from its reference, in the Euclidean norm. 1e-7: what float rounding leaves where the
// true gradient is zero.
inline void expect_gradient(std::span<const float> found, const std::vector<float>& expected, double tolerance,
                            const std::string& name) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double d = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    difference += d * d;
    norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(norm) + 1e-7) << name;
}

// Training as the public code does it: one step of Adam a call, lr 6e-4, norm clipped to 1.
class AdamReplay {
 public:
  AdamReplay(const ModelConfig& config, TrainableNetwork& network, FlatParameters& parameters)
      : network_(network),
        parameters_(parameters),
        gradients_(config),
        first_moment_(config),
        second_moment_(config),
        scratch_(static_cast<std::size_t>(squared_norm_scratch_size(gradients_.size()))) {}

  // Returns the loss before the step.
  double step(const TokenBatch& batch, std::span<const std::int32_t> targets) {
    gradients_.clear();
    network_.set_parameters(parameters_.data());
    network_.forward(batch, {});
    const LossOptions options = {targets, 1.0 / static_cast<double>(targets.size()), 1e-4f};
    const double loss = mean_loss(network_.losses_and_gradients(options, gradients_.data()));
    const double norm = std::sqrt(squared_norm(gradients_.size(), gradients_.data(), scratch_.data()));
    AdamStep update;
    update.step = ++steps_;
    update.gradient_scale = std::min(1.0, 1.0 / (norm + 1e-6));
    adam_update(gradients_.size(), update,
                {parameters_.data(), gradients_.data(), first_moment_.data(), second_moment_.data()});
    return loss;
  }

 private:
  TrainableNetwork& network_;
  FlatParameters& parameters_;
  FlatParameters gradients_;
  FlatParameters first_moment_;
  FlatParameters second_moment_;
  std::vector<double> scratch_;
  std::int64_t steps_ = 0;
};

inline std::filesystem::path golden_folder() { return source_folder() / "tests" / "golden"; }

}  // namespace spikegpt::test
