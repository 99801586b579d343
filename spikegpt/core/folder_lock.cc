#include "spikegpt/core/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/host_name.h"

namespace spikegpt {
namespace {

std::string owner_of(int fd) {
  std::array<char, 300> text = {};
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : "another process";
}

std::string own_name() {
  const std::string host = host_name();
  return host.empty() ? fmt::format("process {}", getpid()) : fmt::format("process {} on {}", getpid(), host);
}

// A file of this name that is another's is neither emptied nor removed.
bool is_lock(int fd) {
  struct stat status = {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return status.st_size == 0 || owner_of(fd).starts_with("process ");
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) : folder_(folder), path_(folder / "lock") {
  fd_ = take();
  folder_fd_ =
      open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);  // while it is open no other gets its number
}

int FolderLock::take() const {
  while (true) {
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) {
      throw Error(ErrorKind::kIo, "cannot create {}: {}", path_.string(), std::generic_category().message(errno));
    }
    if (!is_lock(fd)) {
      close(fd);
      throw Error(ErrorKind::kInvalidArgument, "{} is no lock of a run: move it away, or choose another folder",
                  path_.string());
    }
    const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    const int failure = errno;
    if (locked && is_still_at(fd, path_)) {
      const std::string name = own_name();
      // Only for the message of those who are refused: the lock holds without it.
      if (ftruncate(fd, 0) != 0 || pwrite(fd, name.data(), name.size(), 0) < 0) errno = 0;
      return fd;
    }
    const std::string owner = owner_of(fd);
    close(fd);
    if (locked) continue;
    if (failure == EWOULDBLOCK) {
      throw Error(ErrorKind::kInvalidArgument,
                  "{} is in use: {} trains there; wait for it, or choose another folder", folder_.string(),
                  owner);
    }
    throw Error(ErrorKind::kIo, "cannot lock {}: {}", path_.string(), std::generic_category().message(failure));
  }
}

FolderLock::~FolderLock() {
  if (is_still_at(fd_, path_)) unlink(path_.c_str());
  close(fd_);
  if (folder_fd_ >= 0) close(folder_fd_);
}

void FolderLock::check_folder() {
  if (folder_fd_ >= 0 && !is_still_at(folder_fd_, folder_)) {
    throw Error(ErrorKind::kIo, "{} was deleted, moved or replaced meanwhile; nothing more is written there",
                folder_.string());
  }
  if (!is_still_at(fd_, path_)) close(std::exchange(fd_, take()));
}

}  // namespace spikegpt
