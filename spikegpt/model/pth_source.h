// What is common to the formats of torch.save: a pickled object, and storages that it refers to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "spikegpt/model/pickle_reader.h"

namespace spikegpt {

class PthSource {
 public:
  virtual ~PthSource() = default;
  virtual const std::filesystem::path& path() const noexcept = 0;
  virtual std::uint64_t file_size() const noexcept = 0;
  virtual const Pickle& object() const noexcept = 0;
  // The bytes of a storage, whole. Throws Error (kCorruptFile) when they are not there, or when all that was
  // read so far is larger than the file.
  virtual std::vector<std::byte> storage(std::string_view key) = 0;
};

// Throws Error: kNotFound, kIo, kCorruptFile, kUnsupported.
std::unique_ptr<PthSource> open_pth_archive(
    const std::filesystem::path& path);  // a zip archive: since PyTorch 1.6
std::unique_ptr<PthSource> open_pth_legacy(
    const std::filesystem::path& path);  // pickles one behind the other

// Whether the file begins as one of the older format does.
bool is_legacy_pth(std::string_view bytes) noexcept;

}  // namespace spikegpt
