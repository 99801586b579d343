#include "spikegpt/core/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

std::string system_message(int code) { return std::generic_category().message(code); }

// Closes a file descriptor when it goes out of scope.
struct Descriptor {
  int fd = -1;
  explicit Descriptor(int descriptor) : fd(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

int open_for_reading(const std::filesystem::path& path) {
  // Not waiting: a named pipe without a writer is refused as no regular file, not waited for.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const ErrorKind kind = errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo;
    throw Error(kind, "cannot open {}: {}", path.string(), system_message(errno));
  }
  return fd;
}

class DescriptorWriter final : public FileWriter {
 public:
  DescriptorWriter(int fd, const std::filesystem::path& path) : fd_(fd), path_(path) {}

  void write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        throw Error(ErrorKind::kIo, "cannot write {}: {}; the earlier file, if any, is unchanged", path_.string(),
                    system_message(errno));
      }
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

 private:
  int fd_;
  const std::filesystem::path& path_;
};

void sync_folder(const std::filesystem::path& folder) {
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd >= 0) fsync(directory.fd);  // some file systems cannot; the rename still holds
}

void write_and_rename(const std::filesystem::path& temporary, const std::filesystem::path& path,
                      const std::function<void(FileWriter&)>& write_content) {
  const Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.fd < 0) {
    throw Error(ErrorKind::kIo, "cannot create {}: {}", temporary.string(), system_message(errno));
  }
  DescriptorWriter writer(file.fd, path);
  write_content(writer);
  if (fsync(file.fd) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    throw Error(ErrorKind::kIo, "cannot finish writing {}: {}", path.string(), system_message(errno));
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor file(open_for_reading(path));
  struct stat status = {};
  if (fstat(file.fd, &status) != 0) {
    throw Error(ErrorKind::kIo, "cannot read the size of {}: {}", path.string(), system_message(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kInvalidArgument, "{} is not a regular file", path.string());
  }
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* memory = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorKind::kIo, "cannot map {}: {}", path.string(), system_message(errno));
  }
  data_ = static_cast<const std::byte*>(memory);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    path_ = std::move(other.path_);
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() noexcept {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_text(const std::filesystem::path& path) { return std::string(MappedFile(path).text()); }

void write_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write_content) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.tmp", getpid());
  try {
    write_and_rename(temporary, path, write_content);
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

void write_text_atomically(const std::filesystem::path& path, std::string_view text) {
  write_atomically(path, [&](FileWriter& writer) { writer.write_text(text); });
}

void make_folder(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) {
    throw Error(ErrorKind::kIo, "cannot make the folder {}: {}", path.string(), failure.message());
  }
}

}  // namespace spikegpt
