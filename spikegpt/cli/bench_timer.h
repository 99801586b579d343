// Time for benchmarks.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "spikegpt/core/parallel.h"

namespace spikegpt::cli {

class Timer {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Time of work that may share the machine with others. With one thread it is the processor's, from which nobody else's
// work takes away; several threads also wait for each other, which only a clock on the wall sees.
class WorkTimer {
 public:
  double seconds() const { return now() - start_; }

 private:
  static double now() {
    timespec time = {};
    clock_gettime(thread_count() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double start_ = now();
};

// Median time of a call: repeated for about a fifth of a second, after one call that does not count.
template <class Body>
double median_seconds(const Body& body) {
  body();
  std::vector<double> times;
  const Timer all;
  while (times.size() < 5 || all.seconds() < 0.2) {
    const Timer timer;
    body();
    times.push_back(timer.seconds());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace spikegpt::cli
