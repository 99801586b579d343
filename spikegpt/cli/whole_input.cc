#include "spikegpt/cli/whole_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "spikegpt/cli/command.h"
#include "spikegpt/core/error.h"

namespace spikegpt::cli {
namespace {

constexpr int kPatience = 100;  // [ms] between looks at whether the user has interrupted

[[noreturn]] void fail(const std::string& doing, const std::string& name) {
  const ErrorKind kind = errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo;
  throw Error(kind, "cannot {} {}: {}", doing, name, std::generic_category().message(errno));
}

// An open file; standard input stays open.
class Input {
 public:
  explicit Input(const std::filesystem::path& path) : name_(path == "-" ? "standard input" : path.string()) {
    // Not waiting in here: a named pipe without a writer is waited for where an interruption is seen.
    fd_ = path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) fail("open", name_);
    struct stat status = {};
    if (fstat(fd_, &status) == 0 && S_ISDIR(status.st_mode)) {
      close_file();
      throw Error(ErrorKind::kInvalidArgument, "{} is a folder; expected a file", name_);
    }
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  ~Input() { close_file(); }

  const std::string& name() const { return name_; }

  // Waits for up to `size` bytes; 0 at the end.
  std::size_t read_some(char* to, std::size_t size) const {
    for (;;) {
      pollfd waiting = {fd_, POLLIN, 0};
      const int ready = poll(&waiting, 1, kPatience);
      if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted while {} was read", name_);
      if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
      const ssize_t count = ::read(fd_, to, size);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno == EBADF && fd_ == STDIN_FILENO) return 0;  // a program started without one
      if (errno != EINTR && errno != EAGAIN) fail("read", name_);
    }
  }

 private:
  void close_file() {
    if (fd_ > STDIN_FILENO) close(fd_);
  }

  std::string name_;
  int fd_ = -1;
};

// What a text may take, so that its tokens have room beside it.
std::size_t largest_text() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) / 8
                               : SIZE_MAX;
}

}  // namespace

std::string read_whole_input(const std::filesystem::path& path) {
  const Input input(path);
  const std::size_t largest = largest_text();
  std::string text;
  std::size_t filled = 0;
  for (;;) {
    if (filled == text.size()) text.resize(std::max<std::size_t>(2 * filled, std::size_t{1} << 16));
    const std::size_t count = input.read_some(text.data() + filled, text.size() - filled);
    if (count == 0) break;
    filled += count;
    if (filled > largest) {
      throw Error(ErrorKind::kMemory,
                  "{} has no end after {} MB, more than this machine has memory for; give less", input.name(),
                  filled >> 20);
    }
  }
  text.resize(filled);
  return text;
}

}  // namespace spikegpt::cli
