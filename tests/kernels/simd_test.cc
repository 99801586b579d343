#include "spikegpt/kernels/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/kernels/kernel_case.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

// For all tests of this program: one thread unless a test asks for more. On a busy machine threads
// that wait for each other take long, and these tests are many.
[[maybe_unused]] const bool kStartsWithOneThread = (set_thread_count(1), true);

bool runs(const char* target) {
  return std::find(simd_targets().begin(), simd_targets().end(), target) != simd_targets().end();
}

TEST(Simd, EveryInstructionSetOfThisCpuIsTested) {
  EXPECT_TRUE(runs("baseline"));
#if defined(__x86_64__)
  EXPECT_EQ(runs("avx2"), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  EXPECT_EQ(runs("avx512"), __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
  EXPECT_EQ(runs("avx512vnni"),
            runs("avx512") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi2"));
#endif
}

TEST(Simd, TheChosenSetIsTheOneInUse) {
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    EXPECT_EQ(simd_target(), target);
  }
  set_simd_target("best");
  EXPECT_EQ(simd_target(), simd_targets().back());
}

TEST(Simd, UnknownNameIsAnErrorThatListsTheKnown) {
  expect_error(ErrorKind::kInvalidArgument, {"\"sse9\"", "best", "baseline"}, [] { set_simd_target("sse9"); });
  expect_error(ErrorKind::kInvalidArgument, {"\"\""}, [] { set_simd_target(""); });
}

TEST(Simd, EnvironmentChooses) {
  ASSERT_EQ(::setenv("SPIKEGPT_SIMD", "baseline", 1), 0);
  apply_simd_environment();
  EXPECT_EQ(simd_target(), "baseline");
  ::setenv("SPIKEGPT_SIMD", "nonsense", 1);
  expect_error(ErrorKind::kInvalidArgument, {"nonsense"}, [] { apply_simd_environment(); });
  set_simd_target("baseline");
  ::setenv("SPIKEGPT_SIMD", "", 1);
  apply_simd_environment();
  EXPECT_EQ(simd_target(), "baseline");  // empty says nothing
  ::unsetenv("SPIKEGPT_SIMD");
  apply_simd_environment();
  EXPECT_EQ(simd_target(), "baseline");
  set_simd_target("best");
}

}  // namespace
}  // namespace spikegpt::test
