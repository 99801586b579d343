#include "spikegpt/cli/command.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string_view>

#include "spikegpt/core/parallel.h"
#include "spikegpt/core/signals.h"

namespace spikegpt::cli {
namespace {

std::atomic<bool> stop_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may only touch lock-free atomics");

std::atomic<std::int64_t> first_stop = 0;  // [s]
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

// Tools such as timeout send a signal to the process and to its group, so it may come twice for one wish.
extern "C" void request_stop(int signal) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (!stop_flag.exchange(true)) {
    first_stop = now.tv_sec;
  } else if (now.tv_sec > first_stop + 1) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

// A mapped file that became shorter, or whose disk failed, ends reading with this signal; there is no way back.
extern "C" void report_lost_file(int) {
  constexpr std::string_view kMessage =
      "spikegpt: a file that was being read became shorter, or its disk failed; what was saved before is intact\n";
  if (write(STDERR_FILENO, kMessage.data(), kMessage.size()) < 0) _exit(2);
  _exit(1);
}

// The write function of a stream that forgets what nobody reads.
template <int Descriptor>
ssize_t write_or_drop(void*, const char* bytes, std::size_t size) {
  ssize_t written = -1;
  do written = write(Descriptor, bytes, size);
  while (written < 0 && errno == EINTR);
  if (written >= 0) return written;
  return errno == EPIPE ? static_cast<ssize_t>(size) : 0;
}

template <int Descriptor>
void drop_what_nobody_reads(std::FILE*& stream) {
  std::fflush(stream);
  std::FILE* const dropping = fopencookie(nullptr, "w", {nullptr, write_or_drop<Descriptor>, nullptr, nullptr});
  if (dropping == nullptr) return;
  const bool unbuffered = Descriptor == STDERR_FILENO;
  std::setvbuf(dropping, nullptr, unbuffered ? _IONBF : isatty(Descriptor) != 0 ? _IOLBF : _IOFBF, BUFSIZ);
  stream = dropping;
}

}  // namespace

const std::atomic<bool>& stop_requested() { return stop_flag; }

void install_stop_handler() {
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  std::signal(SIGUSR1, request_stop);
  // Under nohup a closed terminal is no reason to stop.
  if (std::signal(SIGHUP, request_stop) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

void install_lost_file_handler() {
  use_alternate_signal_stack();
  struct sigaction action = {};
  action.sa_handler = report_lost_file;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGBUS, &action, nullptr);
}

void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

void keep_working_when_output_closes() {
  std::signal(SIGPIPE, SIG_IGN);
  drop_what_nobody_reads<STDOUT_FILENO>(stdout);
  drop_what_nobody_reads<STDERR_FILENO>(stderr);
}

std::function<void(int)> add_threads_flag(CLI::App& app) {
  auto threads = std::make_shared<int>(0);
  app.add_option("--threads", *threads, "processors to use; 0 = as many as help")->check(CLI::Range(0, 1024));
  return [threads](int otherwise) { set_thread_count(*threads > 0 ? *threads : otherwise); };
}

}  // namespace spikegpt::cli
