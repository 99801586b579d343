// Preloaded into a program, delivers a signal every millisecond to a handler that only counts. A thread whose stack
// cannot bear a handler's frame then dies, or computes something else. SPIKEGPT_TICKS names the file that gets the
// count when the program ends.
#include <signal.h>
#include <sys/time.h>

#include <cstdio>
#include <cstdlib>

namespace {

volatile sig_atomic_t ticks = 0;

extern "C" void count_tick(int) { ticks = ticks + 1; }

[[gnu::constructor]] void start() {
  if (std::getenv("SPIKEGPT_TICKS") == nullptr) return;
  struct sigaction action = {};
  action.sa_handler = count_tick;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every, nullptr);
}

[[gnu::destructor]] void report() {
  const char* const path = std::getenv("SPIKEGPT_TICKS");
  if (path == nullptr) return;
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  if (std::FILE* const file = std::fopen(path, "w")) {
    std::fprintf(file, "%d\n", static_cast<int>(ticks));
    std::fclose(file);
  }
}

}  // namespace
