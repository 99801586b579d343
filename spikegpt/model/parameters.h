// The parameters of a model: one flat vector of floats, and names for its parts (SPEC.md 6).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/model/config.h"
#include "spikegpt/model/part.h"

namespace spikegpt {

struct LayerNormWeights {
  float* weight = nullptr;  // [C]
  float* bias = nullptr;    // [C]
};

// Of a half of a block.
struct HalfWeights {
  LayerNormWeights norm;
  std::vector<float*> mixer;  // as its form lists them; null where the configuration does not have one
};

struct BlockWeights {
  LayerNormWeights ln0;  // block 0 only
  std::vector<HalfWeights> halves;
};

// Pointers into a flat vector: of parameters, of gradients, or of anything else laid out the same way.
struct ModelWeights {
  float* embedding = nullptr;  // [V, C]
  std::vector<BlockWeights> blocks;
  LayerNormWeights ln_out;
  float* head = nullptr;        // [V, C]
  std::vector<float*> learned;  // of every spike site what its neurons learn; null for nothing
};

struct ParameterInfo {
  std::string name;  // as official checkpoints spell it
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  // in floats; a multiple of 16 but for what is joined to the parameter before
  std::int64_t size = 0;
  FirstValues first = {};
  int layer = -1;  // of a block; -1 outside

  // Matrices are what a packed model keeps otherwise, and what weight decay takes from.
  bool is_matrix() const { return shape.size() == 2; }
};

// Part of a flat vector.
struct FlatRange {
  std::int64_t first = 0;
  std::int64_t size = 0;
};

// Which parameters a flat vector holds.
enum class ParameterSelection : std::uint8_t {
  kAll,
  kVectors,  // all but the matrices, which a packed model keeps otherwise
};

// Whether what neurons learn is one set of values for a site (plif, klif, sliding_psn), or one for each neuron.
bool learns_per_layer(const ModelConfig& config) noexcept;

// Where each parameter lies in the flat vector.
class ParameterLayout {
 public:
  explicit ParameterLayout(const ModelConfig& config, ParameterSelection selection = ParameterSelection::kAll);

  const std::vector<ParameterInfo>& infos() const noexcept { return infos_; }
  // nullptr when there is none of that name.
  const ParameterInfo* find(std::string_view name) const noexcept;
  // Floats of the flat vector, padding between parameters included.
  std::int64_t flat_size() const noexcept { return flat_size_; }
  // Parameters, without padding.
  std::int64_t parameter_count() const noexcept { return parameter_count_; }

 private:
  std::vector<ParameterInfo> infos_;
  std::vector<std::size_t> by_name_;  // indices into infos_, sorted
  std::int64_t flat_size_ = 0;
  std::int64_t parameter_count_ = 0;
};

// The parts of `flat`, which holds ParameterLayout(config, selection).flat_size() floats and must outlive the result.
// Parameters that are not selected stay nullptr.
ModelWeights bind_weights(const ModelConfig& config, float* flat,
                          ParameterSelection selection = ParameterSelection::kAll);

}  // namespace spikegpt
