#include "spikegpt/core/thread_pool.h"

#include "spikegpt/core/signals.h"

namespace spikegpt::detail {
namespace {

// How long a thread looks for the next job before it sleeps: the gap between two products of a token, some times over.
constexpr int kSpins = 4000;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool& ThreadPool::shared() {
  static ThreadPool pool;
  return pool;
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  ++posted_;
  posted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::start(int threads) {
  while (static_cast<int>(threads_.size()) + 1 < threads) {
    const int worker = static_cast<int>(threads_.size()) + 1;
    threads_.emplace_back([this, worker] { work(worker); });
  }
}

bool ThreadPool::run(const Job& job, int threads) {
  const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  start(threads);
  job_ = job;
  wanted_ = threads;
  next_ = 0;
  const std::uint64_t number = posted_ + 1;
  open_ = number;
  posted_ = number;
  if (sleeping_ > 0) posted_.notify_all();
  take_tasks(job, 0);
  // From here on nobody enters: who sees the job closed after counting itself in leaves again.
  open_ = kClosed;
  while (inside_ != 0) pause();
  return true;
}

void ThreadPool::take_tasks(const Job& job, int worker) {
  for (std::int64_t task = next_++; task < job.tasks; task = next_++) job.function(job.body, task, worker);
}

std::uint64_t ThreadPool::wait_for_job(std::uint64_t seen) {
  for (int i = 0; i < kSpins; ++i) {
    if (posted_ != seen) return posted_;
    pause();
  }
  ++sleeping_;
  posted_.wait(seen);
  --sleeping_;
  return posted_;
}

void ThreadPool::work(int worker) {
  block_signals();
  for (std::uint64_t seen = 0;;) {
    seen = wait_for_job(seen);
    if (stop_) return;
    ++inside_;
    if (open_ == seen && worker < wanted_) take_tasks(job_, worker);
    --inside_;
  }
}

}  // namespace spikegpt::detail
