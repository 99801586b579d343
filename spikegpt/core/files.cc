#include "spikegpt/core/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
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

// Writes all of it. Returns 0, or errno.
int write_all(int fd, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

class DescriptorWriter final : public FileWriter {
 public:
  DescriptorWriter(int fd, const std::filesystem::path& path) : fd_(fd), path_(path) {}

  void write(std::span<const std::byte> bytes) override {
    if (const int failure = write_all(fd_, bytes); failure != 0) {
      throw Error(ErrorKind::kIo, "cannot write {}: {}; the earlier file, if any, is unchanged", path_.string(),
                  system_message(failure));
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

const char* kind_of_place(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder (directory)";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// A new file that only we have. One of the same name was left by a process that was killed.
int create_temporary(const std::filesystem::path& temporary) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = open(temporary.c_str(), kFlags, 0644);
  if (fd < 0 && errno == EEXIST && unlink(temporary.c_str()) == 0) fd = open(temporary.c_str(), kFlags, 0644);
  return fd;
}

void write_and_rename(const std::filesystem::path& temporary, const std::filesystem::path& path,
                      const std::function<void(FileWriter&)>& write_content) {
  const Descriptor file(create_temporary(temporary));
  if (file.fd < 0) {
    throw Error(ErrorKind::kIo, "cannot create {}: {}", temporary.string(), system_message(errno));
  }
  struct stat earlier = {};
  const bool replaces = stat(path.c_str(), &earlier) == 0;
  if (replaces && fchmod(file.fd, earlier.st_mode & 07777) != 0) errno = 0;  // some file systems have no modes
  DescriptorWriter writer(file.fd, path);
  write_content(writer);
  if (fsync(file.fd) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    throw Error(ErrorKind::kIo, "cannot finish writing {}: {}", path.string(), system_message(errno));
  }
}

constexpr int kGrowing = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;

// What an open file holds, though it may have no name any more.
void copy_whole(int fd, const std::filesystem::path& path, FileWriter& writer) {
  std::array<std::byte, 1 << 16> block;
  for (off_t at = 0;;) {
    const ssize_t count = pread(fd, block.data(), block.size(), at);
    if (count < 0) throw Error(ErrorKind::kIo, "cannot read {}: {}", path.string(), system_message(errno));
    if (count == 0) return;
    writer.write(std::span(block).first(static_cast<std::size_t>(count)));
    at += count;
  }
}

}  // namespace

bool is_still_at(int fd, const std::filesystem::path& path) {
  struct stat opened = {};
  struct stat named = {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

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

std::filesystem::path output_file(const std::filesystem::path& path) {
  constexpr int kMostLinks = 40;  // as the system
  std::filesystem::path file = path;
  for (int links = 0;; ++links) {
    struct stat status = {};
    if (lstat(file.c_str(), &status) != 0) return file;  // not there yet; that it cannot be made is seen then
    if (S_ISREG(status.st_mode)) return file;
    if (!S_ISLNK(status.st_mode)) {
      throw Error(ErrorKind::kIo, "cannot write {}: it is {}, not a regular file; name another file", path.string(),
                  kind_of_place(status.st_mode));
    }
    std::error_code failure;
    const std::filesystem::path target = std::filesystem::read_symlink(file, failure);
    if (failure || links == kMostLinks) {
      throw Error(ErrorKind::kIo, "cannot write {}: its links lead nowhere; name another file", path.string());
    }
    file = file.parent_path() / target;  // an absolute target replaces the folder
  }
}

void write_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write_content) {
  const std::filesystem::path target = output_file(path);
  std::filesystem::path temporary = target;
  temporary += fmt::format(".{}.tmp", getpid());
  try {
    write_and_rename(temporary, target, write_content);
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync_folder(target.has_parent_path() ? target.parent_path() : ".");
}

void write_text_atomically(const std::filesystem::path& path, std::string_view text) {
  write_atomically(path, [&](FileWriter& writer) { writer.write_text(text); });
}

GrowingFile::GrowingFile(const std::filesystem::path& path) : path_(path) {
  const std::filesystem::path target = output_file(path);
  fd_ = open(target.c_str(), kGrowing, 0644);
  if (fd_ < 0) throw Error(ErrorKind::kIo, "cannot write {}: {}", path.string(), system_message(errno));
}

void GrowingFile::find_again() {
  if (is_still_at(fd_, path_)) return;
  const std::filesystem::path target = output_file(path_);
  const bool replaced = access(target.c_str(), F_OK) == 0;
  if (!replaced) {
    write_atomically(path_, [&](FileWriter& writer) { copy_whole(fd_, path_, writer); });
  }
  const int found = open(target.c_str(), kGrowing, 0644);
  if (found < 0) throw Error(ErrorKind::kIo, "cannot write {}: {}", path_.string(), system_message(errno));
  close(std::exchange(fd_, found));
}

GrowingFile::~GrowingFile() { close(fd_); }

void GrowingFile::append(std::string_view record) {
  find_again();
  const off_t before = lseek(fd_, 0, SEEK_END);
  const int failure = write_all(fd_, std::as_bytes(std::span(record)));
  if (failure == 0) return;
  const bool whole = before >= 0 && ftruncate(fd_, before) == 0;
  throw Error(ErrorKind::kIo, "cannot write {}: {}; {}", path_.string(), system_message(failure),
              whole ? "it ends with the record before" : "its last record is cut short");
}

void make_folder(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) {
    throw Error(ErrorKind::kIo, "cannot make the folder {}: {}", path.string(), failure.message());
  }
}

}  // namespace spikegpt
