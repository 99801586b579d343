// The zip archive of a PyTorch checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct zip;

namespace spikegpt {

// Entries lie in the file as they are, in one folder, as torch.save writes them. An archive that is
// compressed, or whose entries overlap to seem larger than the file, is refused.
class PthArchive {
 public:
  // Throws Error: kNotFound, kIo, kCorruptFile, or kUnsupported for the format of PyTorch
  // before 1.6.
  explicit PthArchive(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t file_size() const noexcept { return file_size_; }
  // Whether the folder has an entry of this name: "data.pkl", "data/0".
  bool has(std::string_view name) const;
  // All of it, its checksum verified. Throws Error (kCorruptFile) also when it is larger than
  // `largest`, or when the entries read so far together are larger than the file.
  std::vector<std::byte> read(std::string_view name, std::uint64_t largest = UINT64_MAX);

 private:
  struct Close {
    void operator()(struct zip* archive) const noexcept;
  };
  void find_folder();

  std::filesystem::path path_;
  std::uint64_t file_size_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::string folder_;  // with its slash
  std::unique_ptr<struct zip, Close> zip_;
};

}  // namespace spikegpt
