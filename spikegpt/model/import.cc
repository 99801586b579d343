#include "spikegpt/model/import.h"

#include <algorithm>
#include <charconv>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/pth_reader.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

// The number behind "blocks.", or -1.
int block_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blocks.";
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  int index = -1;
  std::from_chars(name.data(), name.data() + name.size(), index);
  return index;
}

}  // namespace

WeightFile read_weights(const std::filesystem::path& path) {
  const bool zip = MappedFile(path).text().starts_with("PK");
  const bool torch_name = path.extension() == ".pth" || path.extension() == ".pt";
  return zip || torch_name ? read_pth(path) : read_safetensors(path);
}

void infer_config(const WeightFile& file, ModelConfig& config) {
  const TensorView* embedding = file.find("emb.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: no tensor \"emb.weight\" of shape [V, C]; these are not the weights of a SpikeGPT",
                file.path().string());
  }
  config.vocab_size = static_cast<int>(std::min<std::int64_t>(embedding->shape[0], INT32_MAX));
  config.n_embd = static_cast<int>(std::min<std::int64_t>(embedding->shape[1], INT32_MAX));
  int last_block = -1;
  for (const TensorView& tensor : file.tensors()) last_block = std::max(last_block, block_of(tensor.name));
  config.n_layer = last_block + 1;
  const bool ffn_pre = file.find("blocks.0.ffnPre.key.weight") != nullptr;
  config.model_type = ffn_pre ? "RWKV-ffnPre" : "RWKV";
  if (file.find("blocks.0.ffn.gain") != nullptr) config.arch = "event";
}

}  // namespace spikegpt
