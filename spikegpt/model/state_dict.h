// Where in the object of a checkpoint the weights of the model are, and what they are called there.
#pragma once

#include <filesystem>
#include <vector>

#include "spikegpt/model/pickle_reader.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// The dictionary of tensors that is the model's: the one with an "emb.weight", wherever it is nested; of
// several the one that is called as models are ("model_state_dict", "model", "net", ...). Where none has an
// "emb.weight", the one that is called so, or else the one with the most tensors. Throws Error that names the
// keys found: kCorruptFile where there are no tensors, kUnsupported for several models.
const PickleValue& find_state_dict(const PickleValue& object, const std::filesystem::path& path);

// Takes off what PyTorch's wrappers put into names: "_orig_mod." of torch.compile and the like anywhere, and
// what stands in front of all names alike ("module.", "model.", whatever is in front of "emb.weight"). Throws
// Error (kCorruptFile) when two tensors then have one name.
void plain_names(std::vector<TensorView>& tensors, const std::filesystem::path& path);

}  // namespace spikegpt
