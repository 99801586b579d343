// The models whose files are fuzzed: small, and one of every kind of weights.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/packed_matrix.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/parameters.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {

struct FuzzModel {
  const char* arch;
  WeightType type;
};
inline constexpr std::array<FuzzModel, 4> kFuzzModels = {{{"spikegpt", WeightType::kF32},
                                                          {"event", WeightType::kInt8},
                                                          {"rwkv", WeightType::kBf16},
                                                          {"event", WeightType::kInt4}}};

inline ModelConfig fuzz_config(std::size_t index) {
  ModelConfig config = small_config(kFuzzModels[index].arch, {.n_embd = 4, .vocab_size = 5, .ctx_len = 8});
  config.n_layer = 1;
  return config;
}

inline AlignedBuffer<float> fuzz_parameters(const ModelConfig& config) {
  AlignedBuffer<float> parameters(static_cast<std::size_t>(ParameterLayout(config).flat_size()));
  initialise(config, InitKind::kDefault, 1, parameters.data());
  return parameters;
}

inline PackedModel fuzz_packed_model(std::size_t index) {
  const ModelConfig config = fuzz_config(index);
  return {config, fuzz_parameters(config).data(), default_pack_options(config, kFuzzModels[index].type)};
}

}  // namespace spikegpt::test
