// The numbers of the PyTorch reference, by name (tests/golden/README.md).
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/model_case.h"

namespace spikegpt::test {

class Golden {
 public:
  explicit Golden(const std::string& file) : file_(read_safetensors(golden_folder() / file)) {}

  const TensorView& tensor(const std::string& name) const {
    const TensorView* found = file_.find(name);
    if (found == nullptr) throw std::out_of_range(name + " is not in " + file_.path().string());
    return *found;
  }
  // Float tensors as they are; spikes, which are bytes, as 0 and 1.
  std::vector<float> floats(const std::string& name) const {
    const TensorView& found = tensor(name);
    if (found.dtype != DType::kU8) return floats_of(found);
    const auto bytes = raw_values<std::uint8_t>(found);
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::int32_t> integers(const std::string& name) const { return raw_values<std::int32_t>(tensor(name)); }
  std::vector<double> doubles(const std::string& name) const {
    const std::vector<float> values = floats(name);
    return {values.begin(), values.end()};
  }
  nlohmann::json metadata(const std::string& key) const { return nlohmann::json::parse(file_.metadata().at(key)); }

 private:
  WeightFile file_;
};

}  // namespace spikegpt::test
