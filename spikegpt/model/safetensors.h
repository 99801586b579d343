// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// Maps a file and checks all of its header: lengths, offsets, overlaps, formats, shapes, names. Throws Error
// (kNotFound, kIo, kCorruptFile, kUnsupported) that names the file, the tensor or byte, what was expected and found.
WeightFile read_safetensors(const std::filesystem::path& path);

// Writes atomically. Throws Error (kIo); a file that was there before stays then.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, std::string>& metadata,
                       std::span<const TensorView> tensors);

}  // namespace spikegpt
