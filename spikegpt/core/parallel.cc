#include "spikegpt/core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "spikegpt/core/signals.h"
#include "spikegpt/core/thread_pool.h"

namespace spikegpt {

namespace {

// OpenMP keeps the number for each thread apart; this one holds for the process. 0 = not chosen yet.
std::atomic<int> chosen_threads = 0;

thread_local int short_regions = 0;

}  // namespace

ShortRegions::ShortRegions() noexcept { ++short_regions; }
ShortRegions::~ShortRegions() { --short_regions; }

int thread_count() {
  const int chosen = chosen_threads;
  return chosen > 0 ? chosen : omp_get_max_threads();
}

void set_thread_count(int threads) {
  chosen_threads = threads > 0 ? threads : omp_get_num_procs();
  omp_set_dynamic(0);
  omp_set_num_threads(chosen_threads);  // for the dense products, which ask OpenMP
}

void block_signals_in_openmp_threads() {
  thread_local int blocked = 1;  // threads of the team, the calling one included
  if (omp_get_max_threads() <= blocked) return;
#pragma omp parallel
  if (omp_get_thread_num() > 0) block_signals();
  blocked = omp_get_max_threads();
}

namespace detail {

#if defined(__SANITIZE_THREAD__) || defined(SPIKEGPT_THREAD_SANITIZER)
// ThreadSanitizer does not see the barriers of the OpenMP runtime; plain threads it understands.
void run_tasks(std::int64_t tasks, TaskFunction function, void* body) {
  const std::int64_t workers = std::min<std::int64_t>(tasks, thread_count());
  std::vector<std::thread> threads;
  for (std::int64_t worker = 0; worker < workers; ++worker) {
    threads.emplace_back([=] {
      for (std::int64_t task = worker; task < tasks; task += workers) function(body, task, static_cast<int>(worker));
    });
  }
  for (std::thread& thread : threads) thread.join();
}
#else
void run_tasks(std::int64_t tasks, TaskFunction function, void* body) {
  if (tasks == 1) return function(body, 0, 0);
  if (short_regions > 0 && ThreadPool::shared().run({tasks, function, body}, thread_count())) return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (std::int64_t task = 0; task < tasks; ++task) {
    function(body, task, omp_get_thread_num());
  }
}
#endif

}  // namespace detail
}  // namespace spikegpt
