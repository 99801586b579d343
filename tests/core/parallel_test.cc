#include "spikegpt/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

namespace spikegpt {
namespace {

class Parallel : public testing::Test {
 protected:
  ~Parallel() override { set_thread_count(0); }
};

TEST_F(Parallel, EveryTaskRunsOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    for (const std::int64_t tasks : {0, 1, 2, 3, 64, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      parallel_for(tasks, [&](std::int64_t task) { ++runs[static_cast<std::size_t>(task)]; });
      for (const std::atomic<int>& count : runs) ASSERT_EQ(count, 1);
    }
  }
}

TEST_F(Parallel, NoTwoTasksOfAWorkerRunAtOnce) {
  set_thread_count(3);
  std::vector<std::atomic<int>> running(3);
  std::atomic<bool> mistake = false;
  parallel_for(64, [&](std::int64_t, int worker) {
    if (worker < 0 || worker >= 3) {
      mistake = true;
      return;
    }
    if (++running[static_cast<std::size_t>(worker)] != 1) mistake = true;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    --running[static_cast<std::size_t>(worker)];
  });
  EXPECT_FALSE(mistake);
}

TEST_F(Parallel, RunsOnSeveralThreads) {
  set_thread_count(2);
  std::atomic<int> arrived = 0;
  std::atomic<int> together = 0;
  // Each task waits for the other, so both must run at once; gives up after ten seconds.
  parallel_for(2, [&](std::int64_t) {
    ++arrived;
    const auto start = std::chrono::steady_clock::now();
    while (arrived < 2 && std::chrono::steady_clock::now() - start < std::chrono::seconds(10))
      std::this_thread::yield();
    if (arrived == 2) ++together;
  });
  EXPECT_EQ(together, 2);
}

TEST_F(Parallel, ZeroMeansAllProcessors) {
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
  EXPECT_LE(thread_count(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST_F(Parallel, BodyMayBeConstOrChangeWhatItHolds) {
  const auto constant = [](std::int64_t) {};
  parallel_for(3, constant);
  set_thread_count(1);
  int sum = 0;
  auto counting = [&sum, calls = 0](std::int64_t task) mutable { sum += static_cast<int>(task) + ++calls; };
  parallel_for(3, counting);
  EXPECT_EQ(sum, 0 + 1 + 2 + 1 + 2 + 3);
}

// The number holds for the whole process, whichever thread asks. Scratch memory is sized by it.
TEST_F(Parallel, OtherThreadsSeeTheNumberToo) {
  const int chosen = thread_count() + 1;
  set_thread_count(chosen);
  int seen = 0;
  std::set<int> workers;
  std::atomic<int> largest = 0;
  std::thread([&] {
    seen = thread_count();
    parallel_for(200, [&](std::int64_t, int worker) {
      int now = largest;
      while (worker > now && !largest.compare_exchange_weak(now, worker)) {
      }
    });
  }).join();
  EXPECT_EQ(seen, chosen);
  EXPECT_LT(largest, chosen);
}

}  // namespace
}  // namespace spikegpt
