// Whether a file holds what was written to it.
#pragma once

#include <map>
#include <span>
#include <string>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// The key of the checksum in a file's metadata.
inline constexpr const char* kChecksum = "checksum";

// XXH3 of the metadata (but for kChecksum) and of every tensor's name, shape, format and bytes, as 16 hexadecimal digits. The order of
// the tensors does not matter.
std::string checksum_of(const std::map<std::string, std::string>& metadata, std::span<const TensorView> tensors);

// Throws Error (kCorruptFile) unless the metadata hold the checksum of the content.
void verify_checksum(const WeightFile& file);

}  // namespace spikegpt
