// Threads for very short parallel regions.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "spikegpt/core/parallel.h"

namespace spikegpt::detail {

// Work for the pool: function(body, task, worker) for every task in [0, tasks).
struct Job {
  std::int64_t tasks = 0;
  TaskFunction function = nullptr;
  void* body = nullptr;
};

// The calling thread takes part and takes tasks like the others; when none is left it waits only for threads that are
// still at one. A thread that the system gave to somebody else therefore delays nobody.
class ThreadPool {
 public:
  // The pool of the process; its threads end with it.
  static ThreadPool& shared();

  ThreadPool() = default;
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Runs a job on up to `threads` threads, the calling one included, and returns true; returns false, with nothing
  // done, while another thread has a job running here.
  bool run(const Job& job, int threads);

 private:
  void start(int threads);
  void work(int worker);
  void take_tasks(const Job& job, int worker);
  std::uint64_t wait_for_job(std::uint64_t seen);

  static constexpr std::uint64_t kClosed = 0;

  std::mutex busy_;
  Job job_;
  int wanted_ = 0;                             // threads of the job
  std::atomic<std::uint64_t> open_ = kClosed;  // number of the job that threads may enter
  std::atomic<std::uint64_t> posted_ = 0;      // number of the newest job
  std::atomic<std::int64_t> next_ = 0;         // task
  std::atomic<int> inside_ = 0;                // threads that may be at a task
  std::atomic<int> sleeping_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace spikegpt::detail
