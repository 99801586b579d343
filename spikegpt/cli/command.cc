#include "spikegpt/cli/command.h"

#include <csignal>
#include <memory>

#include "spikegpt/core/parallel.h"

namespace spikegpt::cli {
namespace {

std::atomic<bool> stop_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may only touch lock-free atomics");

extern "C" void request_stop(int signal) {
  if (stop_flag.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

const std::atomic<bool>& stop_requested() { return stop_flag; }

void install_stop_handler() {
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
}

std::function<void(int)> add_threads_flag(CLI::App& app) {
  auto threads = std::make_shared<int>(0);
  app.add_option("--threads", *threads, "processors to use; 0 = as many as help")
      ->check(CLI::Range(0, 1024));
  return [threads](int otherwise) { set_thread_count(*threads > 0 ? *threads : otherwise); };
}

}  // namespace spikegpt::cli
