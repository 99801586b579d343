// Time for benchmarks.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace spikegpt::cli {

class Timer {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
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
