// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// Maps a file and checks all of its header: lengths, offsets, overlaps, holes, formats, shapes,
// names. Throws Error (kNotFound, kIo, kCorruptFile, kUnsupported) that names the file, the tensor
// or byte, what was expected and found. Tensors lie in the mapped file; one whose data does not
// begin at a multiple of its element size, which the format allows, is copied.
WeightFile read_safetensors(const std::filesystem::path& path);

// The same of bytes that `memory` keeps alive; `path` stands in messages.
WeightFile parse_safetensors(std::span<const std::byte> bytes, const std::filesystem::path& path,
                             std::shared_ptr<const void> memory);

// Writes atomically and tensor by tensor; the data begins at a multiple of 64 bytes, every tensor
// at a multiple of its element size. Names must differ. Throws Error: kIo (a file that was there
// before stays), kInvalidArgument for a name or metadata that is not UTF-8.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const TensorView> tensors);

}  // namespace spikegpt
