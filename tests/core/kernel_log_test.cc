// What kernels write down about themselves.
#include "spikegpt/core/kernel_log.h"

#include <gtest/gtest.h>

#include <thread>

namespace spikegpt::test {
namespace {

void product(std::int64_t out, double operations) {
  const KernelTimer timer({.name = "product", .out = out, .in = 2, .operations = operations, .bytes = 8.0});
}

TEST(KernelLog, AddsUpCallsOfTheSameSize) {
  KernelLog log;
  {
    const KernelListening listening(log);
    product(3, 10.0);
    product(4, 1.0);
    product(3, 20.0);
  }
  ASSERT_EQ(log.entries().size(), 2u);
  const KernelLog::Entry& first = log.entries()[0];
  EXPECT_EQ(first.work.out, 3);
  EXPECT_EQ(first.calls, 2);
  EXPECT_DOUBLE_EQ(first.work.operations, 30.0);
  EXPECT_DOUBLE_EQ(first.work.bytes, 16.0);
  EXPECT_GE(first.seconds, 0.0);
  EXPECT_EQ(log.entries()[1].calls, 1);
}

TEST(KernelLog, MeasuresToTheEndOfTheKernel) {
  constexpr auto kLong = std::chrono::milliseconds(20);
  KernelLog log;
  const KernelListening listening(log);
  {
    const KernelTimer timer({.name = "sleep"});
    std::this_thread::sleep_for(kLong);
  }
  ASSERT_EQ(log.entries().size(), 1u);
  EXPECT_GE(log.entries()[0].seconds, 0.02);
}

TEST(KernelLog, HearsNothingBeforeAndAfterAndFromOtherThreads) {
  KernelLog log;
  product(3, 1.0);
  {
    const KernelListening listening(log);
    std::thread other([] { product(3, 1.0); });
    other.join();
  }
  product(3, 1.0);
  EXPECT_TRUE(log.entries().empty());
}

}  // namespace
}  // namespace spikegpt::test
