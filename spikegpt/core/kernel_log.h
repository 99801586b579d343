// Where the time of a step goes, kernel by kernel. Kernels write down what they did while somebody listens; otherwise
// it costs them one look at a pointer.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace spikegpt {

// What one call of a kernel does.
struct KernelWork {
  std::string_view name;  // a literal
  std::int64_t out = 0;   // of a matrix product: the weight is [out, in]
  std::int64_t in = 0;
  double operations = 0.0;  // multiplications and additions of a matrix product
  double bytes = 0.0;       // that it must at least read and write
};

// Sums over calls that agree in name and size. Not thread-safe.
class KernelLog {
 public:
  struct Entry {
    KernelWork work;
    std::int64_t calls = 0;
    double seconds = 0.0;
  };
  void add(const KernelWork& work, double seconds);
  // In the order of their first calls.
  const std::vector<Entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<Entry> entries_;
};

namespace detail {
inline thread_local KernelLog* kernel_log = nullptr;
}

// While one exists, the kernels that this thread calls write to `log`.
class KernelListening {
 public:
  explicit KernelListening(KernelLog& log) noexcept { detail::kernel_log = &log; }
  ~KernelListening() { detail::kernel_log = nullptr; }
  KernelListening(const KernelListening&) = delete;
  KernelListening& operator=(const KernelListening&) = delete;
};

// At the head of a kernel: measures it to its end.
class KernelTimer {
 public:
  explicit KernelTimer(const KernelWork& work) noexcept : log_(detail::kernel_log) {
    if (log_ == nullptr) return;
    work_ = work;
    start_ = Clock::now();
  }
  ~KernelTimer() {
    if (log_ != nullptr) log_->add(work_, std::chrono::duration<double>(Clock::now() - start_).count());
  }
  KernelTimer(const KernelTimer&) = delete;
  KernelTimer& operator=(const KernelTimer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  KernelLog* log_;
  KernelWork work_;
  Clock::time_point start_;
};

// Bytes of `narrow` values of type A and `floats` floats for each of `n` elements.
template <class A>
double bytes_of(std::int64_t n, int narrow, int floats) noexcept {
  return static_cast<double>(n) *
         (narrow * static_cast<double>(sizeof(A)) + floats * static_cast<double>(sizeof(float)));
}

}  // namespace spikegpt
