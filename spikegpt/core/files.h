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

// The file that writing to `path` makes or replaces: where links lead, also one whose target is missing.
// Throws Error (kIo) for what is no regular file: a folder, a device, a pipe. They are never replaced.
std::filesystem::path output_file(const std::filesystem::path& path);

// Writes `path` through a temporary file beside it, then fsync and rename: `path` holds either its old
// content or all of the new. Links are followed: they stay, their target changes. Throws Error (kIo) and
// removes the temporary file on failure; as output_file.
void write_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write_content);
void write_text_atomically(const std::filesystem::path& path, std::string_view text);

// Whether what is open as `fd` still is what is at `path`: somebody may have deleted, moved or replaced it.
bool is_still_at(int fd, const std::filesystem::path& path);

// A file that grows by whole records while others read it. What it held before stays. When somebody deletes
// or moves it, it is written again with all it held; where somebody put another in its place, that one grows.
class GrowingFile {
 public:
  // Throws Error (kIo), as output_file.
  explicit GrowingFile(const std::filesystem::path& path);
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  ~GrowingFile();

  // All of `record`, or nothing: then throws Error (kIo), with what was written of it taken back.
  void append(std::string_view record);

 private:
  void find_again();

  std::filesystem::path path_;
  int fd_ = -1;
};

// Makes a folder and its parents. Throws Error (kIo).
void make_folder(const std::filesystem::path& path);

}  // namespace spikegpt
