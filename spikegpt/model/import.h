// From the tensors of a checkpoint to a model: what shape it has is read off them.
#pragma once

#include "spikegpt/model/config.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// Reads a file of torch.save (.pth, .pt, .ckpt, .bin) or a .safetensors file, told apart by their first
// bytes, with plain names (state_dict.h). Throws as read_pth and read_safetensors.
WeightFile read_weights(const std::filesystem::path& path);

// Sets n_layer, n_embd, vocab_size, model_type, and for `event` arch and event neurons, from names and
// shapes. What tensors do not tell (ctx_len, the neuron) stays. A model may have no blocks. Throws Error
// (kCorruptFile) for tensors of some other network.
void infer_config(const WeightFile& file, ModelConfig& config);

}  // namespace spikegpt
