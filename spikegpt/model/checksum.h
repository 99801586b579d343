// Whether a file holds what was written to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "spikegpt/model/weight_file.h"

namespace spikegpt {

// XXH3 of pieces, each with the hash of those before as its seed.
class ContentHash {
 public:
  void add(std::span<const std::byte> bytes) noexcept;
  void add(std::string_view text) noexcept { add(std::as_bytes(std::span(text))); }
  // 16 hexadecimal digits.
  std::string text() const;

 private:
  std::uint64_t value_ = 0;
};

// The key of the checksum in a file's metadata.
inline constexpr const char* kChecksum = "checksum";

// ContentHash of the metadata (but for kChecksum) and of every tensor's name, shape, format and bytes. The order of the
// tensors does not matter.
std::string checksum_of(const std::map<std::string, std::string>& metadata, std::span<const TensorView> tensors);

// Throws Error (kCorruptFile) unless the metadata hold the checksum of the content.
void verify_checksum(const WeightFile& file);

}  // namespace spikegpt
