#include "spikegpt/model/import.h"

#include <algorithm>
#include <charconv>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/pth_reader.h"
#include "spikegpt/model/pth_source.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/model/state_dict.h"

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

// By the first bytes; by the name where they say nothing.
bool is_torch_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  if (text.starts_with("PK") || is_legacy_pth(text)) return true;
  if (text.size() > 8 && text[8] == '{') return false;  // the header of a safetensors file
  const auto extension = path.extension();
  return extension == ".pth" || extension == ".pt" || extension == ".ckpt" || extension == ".bin";
}

}  // namespace

WeightFile read_weights(const std::filesystem::path& path) {
  if (is_torch_file(path)) return read_pth(path);
  const WeightFile file = read_safetensors(path);
  std::vector<TensorView> tensors(file.tensors().begin(), file.tensors().end());
  plain_names(tensors, path);
  return file.with(std::move(tensors));
}

void infer_config(const WeightFile& file, ModelConfig& config) {
  const TensorView* embedding = file.find("emb.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: no tensor \"emb.weight\" of shape [V, C]; these are not the weights of a SpikeGPT. The "
                "file has {}",
                file.path().string(), listed_names(file));
  }
  config.vocab_size = static_cast<int>(std::min<std::int64_t>(embedding->shape[0], INT32_MAX));
  config.n_embd = static_cast<int>(std::min<std::int64_t>(embedding->shape[1], INT32_MAX));
  int last_block = -1;
  for (const TensorView& tensor : file.tensors()) last_block = std::max(last_block, block_of(tensor.name));
  config.n_layer = last_block + 1;
  const bool ffn_pre = file.find("blocks.0.ffnPre.key.weight") != nullptr;
  config.model_type = ffn_pre ? "RWKV-ffnPre" : "RWKV";
  if (file.find("blocks.0.ffn.gain") != nullptr) config.arch = "event";
  // Shifted after the projection, the hidden layer has a mix for each of its channels.
  const TensorView* mix = file.find("blocks.0.ffn.time_mix_k");
  const bool is_wide = mix != nullptr && !mix->shape.empty() && mix->shape.back() > embedding->shape[1];
  config.token_shift = is_wide ? "after" : "before";
}

}  // namespace spikegpt
