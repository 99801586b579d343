// PyTorch checkpoints: a pickle that describes tensors and the storages that these lie in, in a zip archive
// or, before PyTorch 1.6, one behind the other.
#pragma once

#include <filesystem>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// Reads a state_dict saved by torch.save, wherever in the object it is, with plain names (state_dict.h).
// Tensors become contiguous and keep their format; those that share a storage share memory where they can.
// Executes nothing. Takes at most about three times the memory of the file, and kMaxPickleValues values.
// Throws Error: kNotFound, kIo, kCorruptFile, kUnsupported (a tar archive, or a pickle that asks for anything
// but tensors).
WeightFile read_pth(const std::filesystem::path& path);

}  // namespace spikegpt
