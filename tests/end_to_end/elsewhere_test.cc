// Runs that go on with other threads, on another CPU, in another precision.
#include <gtest/gtest.h>

#include <cmath>

#include "spikegpt/kernels/simd.h"
#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ElsewhereTest : public SmallRuns {
 protected:
  // Steps of a run whose learning rate does not depend on its length, so that it can be made longer.
  static Args steps(const std::string& count, const Args& more = {}) {
    Args args = {"--steps", count, "--schedule", "constant", "--eval-every", "0", "--precision", "f32"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  static Args resume(const std::string& out, const Args& more = {}) {
    Args args = {"train", "--out", out, "--resume", "--steps", "40"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  static Args cpu(const char* simd) { return {std::string("SPIKEGPT_SIMD=") + simd}; }

  double last_valid_loss(const std::string& out) const { return metrics(out).back().at("valid_loss").get<double>(); }
};

TEST_F(ElsewhereTest, AnotherNumberOfThreadsIsTheSameToTheBit) {
  for (const char* arch : {"spikegpt", "event"}) {
    const std::string whole = std::string("whole-") + arch;
    const std::string cut = std::string("cut-") + arch;
    expect_success(run(train_args(whole, steps("40", {"--arch", arch, "--threads", "1"}))));
    expect_success(run(train_args(cut, steps("20", {"--arch", arch, "--threads", "3"}))));
    const ProgramResult resumed = run(resume(cut, {"--threads", "2"}));
    expect_success(resumed);
    EXPECT_EQ(resumed.out.find("not the same to the bit"), std::string::npos) << resumed.out;
    expect_same_tensors(at(whole + "/model.safetensors"), at(cut + "/model.safetensors"));
  }
}

TEST_F(ElsewhereTest, Avx2AndAvx512AreTheSameToTheBit) {
  if (simd_target() == "baseline") GTEST_SKIP() << "this CPU has neither";
  expect_success(run_in(cpu("best"), train_args("whole", steps("40"))));
  expect_success(run_in(cpu("avx2"), train_args("cut", steps("20"))));
  const ProgramResult resumed = run_in(cpu("best"), resume("cut"));
  expect_success(resumed);
  EXPECT_EQ(resumed.out.find("not the same to the bit"), std::string::npos) << resumed.out;
  expect_same_tensors(at("whole/model.safetensors"), at("cut/model.safetensors"));
}

TEST_F(ElsewhereTest, WithoutFusedMultiplyAddItIsCloseAndSaysSo) {
  if (simd_target() == "baseline") GTEST_SKIP() << "this CPU is one without";
  expect_success(run_in(cpu("best"), train_args("whole", steps("40"))));
  expect_success(run_in(cpu("best"), train_args("cut", steps("20"))));
  const ProgramResult resumed = run_in(cpu("baseline"), resume("cut"));
  expect_success(resumed);
  expect_words(resumed.out + resumed.err, {"baseline", "not the same to the bit"});
  expect_words(read("cut/metrics.jsonl"), {"not the same to the bit"});
  EXPECT_LT(std::abs(last_valid_loss("whole") - last_valid_loss("cut")), 0.05);
}

// As a run that began on a CPU with bf16 finds its folder on one without.
TEST_F(ElsewhereTest, ABf16RunGoesOnInFloat32WithANote) {
  expect_success(run(train_args("cut", steps("20"))));
  const auto in_bf16 = [&](const char* file, const std::string& from, const std::string& to) {
    std::string text = read(file);
    const std::size_t place = text.find(from);
    ASSERT_NE(place, std::string::npos) << text;
    write(file, text.replace(place, from.size(), to));
  };
  in_bf16("cut/train.json", R"("precision": "f32")", R"("precision": "bf16")");
  in_bf16("cut/metrics.jsonl", R"("precision":"f32")", R"("precision":"bf16")");
  const ProgramResult resumed = run_in({"DNNL_MAX_CPU_ISA=AVX2"}, resume("cut"));
  expect_success(resumed);
  expect_words(resumed.out + resumed.err, {"f32", "bf16", "not the same to the bit"});
  expect_words(read("cut/train.json"), {R"("precision": "bf16")"});  // for when it returns
  // A new run is told.
  expect_refused(run_in({"DNNL_MAX_CPU_ISA=AVX2"}, train_args("new", {"--steps", "2", "--precision", "bf16"})), 1,
                 {"bf16", "AVX-512", "f32"});
}

}  // namespace
}  // namespace spikegpt::test
