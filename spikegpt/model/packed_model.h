// A model ready for decoding: packed weights, token shift folded into them where the inputs are spikes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/packed_matrix.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/parameters.h"

namespace spikegpt {

struct PackOptions {
  WeightType type = WeightType::kF32;
  // W mix(x, mu) as a product of twice the inputs, [x[t] | x[t-1]], with mu and 1 - mu in the weights. It doubles the
  // projections, and pays where inputs are spikes: rows are then added, never multiplied (SPEC.md 7).
  bool fold_token_shift = false;
};
// Folded where inputs are spikes: arch event.
PackOptions default_pack_options(const ModelConfig& config, WeightType type);

struct PackedTimeMix {
  PackedMatrix receptance;  // [C or 2C inputs, C outputs], and the two below
  PackedMatrix key;
  PackedMatrix value;
  PackedMatrix output;  // [C, C]
};

struct PackedChannelMix {
  PackedMatrix receptance;  // [C or 2C, C]
  PackedMatrix key;         // [C or 2C, 4C]
  PackedMatrix value;       // [4C, C]
};

struct PackedBlock {
  PackedTimeMix att;         // empty in a block with ffn_pre
  PackedChannelMix ffn_pre;  // block 0 of RWKV-ffnPre
  PackedChannelMix ffn;
};

// Immutable; any number of networks and threads may read one at once.
class PackedModel {
 public:
  // Packs `parameters`, laid out by ParameterLayout(config); they are not needed afterwards.
  PackedModel(const ModelConfig& config, const float* parameters, const PackOptions& options);

  // config.json and packed.safetensors in `folder` (docs/formats.md). Throws Error as load_model and save_model do.
  static PackedModel load(const std::filesystem::path& folder);
  void save(const std::filesystem::path& folder) const;

  const ModelConfig& config() const noexcept { return config_; }
  WeightType type() const noexcept { return options_.type; }
  bool folded() const noexcept { return options_.fold_token_shift; }
  const std::vector<PackedBlock>& blocks() const noexcept { return blocks_; }
  const PackedMatrix& head() const noexcept { return head_; }
  // Norms, decays, mixes and gains; the pointers of matrices are null.
  const ModelWeights& vectors() const noexcept { return weights_; }
  // x [tokens, C]: the embedding of each, as spikes if the model has a binary one.
  void embed(std::span<const std::int32_t> tokens, float* x) const noexcept;
  std::size_t size_in_bytes() const;
  // A hash of configuration and weights, as text: states of one model do not fit another. Reads all weights.
  std::string fingerprint() const;

 private:
  explicit PackedModel(const ModelConfig& config);
  void pack_embedding(const float* embedding);

  ModelConfig config_;
  PackOptions options_;
  ParameterLayout layout_;  // of the vectors
  AlignedBuffer<float> vectors_;
  ModelWeights weights_;
  AlignedBytes embedding_;  // [V, bytes of a row]: one bit per channel, bf16 or float
  std::vector<PackedBlock> blocks_;
  PackedMatrix head_;
};

// Whether `folder` holds a packed model rather than a trainable one.
bool is_packed_folder(const std::filesystem::path& folder);

}  // namespace spikegpt
