// A model ready for decoding: packed weights, token shift folded into them where the inputs are spikes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
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
  std::optional<WeightType> head =
      std::nullopt;  // of the head alone, which a large vocabulary makes the largest matrix
  // W mix(x, mu) as a product of twice the inputs, [x[t] | x[t-1]], with mu and 1 - mu in the weights. It doubles the
  // projections, and pays where inputs are spikes: rows are then added, never multiplied (SPEC.md 7).
  bool fold_token_shift = false;
  // Matrices that read spikes in rows of all their outputs, which an event fetches at once.
  bool event_rows = false;
};
// Where the inputs of all projections are spikes: folded if they are mixed before, in rows if after.
PackOptions default_pack_options(const ModelConfig& config, WeightType type);

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
  WeightType head_type() const noexcept { return options_.head.value_or(options_.type); }
  bool folded() const noexcept { return options_.fold_token_shift; }
  // Of network_form(config()).products: [inputs, outputs], or [2 inputs, outputs] where the shift is folded in.
  std::span<const PackedMatrix> matrices() const noexcept { return matrices_; }
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
  std::vector<PackedMatrix> matrices_;
};

// Whether `folder` holds a packed model rather than a trainable one.
bool is_packed_folder(const std::filesystem::path& folder);

}  // namespace spikegpt
