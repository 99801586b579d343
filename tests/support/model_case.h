// A model with its expected behaviour, out of a golden file.
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/model/spike_sites.h"

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

inline std::filesystem::path golden_folder() {
  return std::filesystem::path(SPIKEGPT_SOURCE_DIR) / "tests" / "golden";
}

}  // namespace spikegpt::test
