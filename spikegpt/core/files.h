// Reading whole and mapped files, and writing them so that a reader never sees half of one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace spikegpt {

// A read-only file in memory, paged in by the operating system as it is touched.
class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error: kNotFound, kIo, or kInvalidArgument for something that is not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  void unmap() noexcept;

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::filesystem::path path_;
};

// The whole file as text. Throws as MappedFile.
std::string read_text(const std::filesystem::path& path);

// Receives the bytes of a file being written.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;
  void write_text(std::string_view text) { write(std::as_bytes(std::span(text))); }
};

// Writes `path` through a temporary file beside it, then fsync and rename: `path` holds either its old
// content or all of the new. Throws Error (kIo) and removes the temporary file on failure.
void write_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write_content);
void write_text_atomically(const std::filesystem::path& path, std::string_view text);

// Makes a folder and its parents. Throws Error (kIo).
void make_folder(const std::filesystem::path& path);

}  // namespace spikegpt
