#include "spikegpt/cli/command.h"

#include <unistd.h>

#include <csignal>
#include <cstdint>
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

std::function<void(int)> add_threads_flag(CLI::App& app) {
  auto threads = std::make_shared<int>(0);
  app.add_option("--threads", *threads, "processors to use; 0 = as many as help")->check(CLI::Range(0, 1024));
  return [threads](int otherwise) { set_thread_count(*threads > 0 ? *threads : otherwise); };
}

}  // namespace spikegpt::cli
