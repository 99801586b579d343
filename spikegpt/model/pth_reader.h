// PyTorch checkpoints: a zip archive with a pickle that describes tensors and an entry for every
// storage.
#pragma once

#include <filesystem>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// Reads a state_dict saved by torch.save: a dict or OrderedDict of tensors, or one inside
// {"model": ...}, {"state_dict": ...} or {"module": ...}; a "module." in front of all names is
// dropped. Tensors become contiguous and keep their format; those that share a storage share memory
// where they can. Executes nothing. Takes at most about three times the memory of the file, and
// kMaxPickleValues values. Throws Error: kNotFound, kIo, kCorruptFile, kUnsupported (an older
// format, or a pickle that asks for anything but tensors).
WeightFile read_pth(const std::filesystem::path& path);

}  // namespace spikegpt
