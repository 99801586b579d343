// Signals that come all the time change nothing.
#include <gtest/gtest.h>

#include "spikegpt/core/error.h"
#include "spikegpt/kernels/simd.h"
#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

struct CpuCase {
  const char* name;
  const char* simd;  // SPIKEGPT_SIMD
  const char* isa;   // DNNL_MAX_CPU_ISA: what oneDNN may use
};

class SignalsTest : public SmallRuns, public testing::WithParamInterface<CpuCase> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a library cannot be preloaded into a program with a sanitizer";
#endif
    try {
      set_simd_target(GetParam().simd);
      set_simd_target("best");
    } catch (const Error&) {
      GTEST_SKIP() << "this CPU does not have " << GetParam().simd;
    }
    // A vocabulary of 62 is one with which oneDNN's AVX2 products lost their data.
    std::string text;
    std::uint32_t state = 7;
    for (int i = 0; i < 6000; ++i) {
      state = state * 1664525u + 1013904223u;
      text += static_cast<char>('A' + (state >> 16) % 62);
    }
    write("random.txt", text);
  }

  ProgramResult run_on_cpu(const Args& args, bool with_ticks) const {
    Args words = {std::string("SPIKEGPT_SIMD=") + GetParam().simd, std::string("DNNL_MAX_CPU_ISA=") + GetParam().isa};
    if (with_ticks) {
      words.push_back("LD_PRELOAD=" + tick_file().string());
      words.push_back("SPIKEGPT_TICKS=" + at("ticks").string());
    }
    return run_in(words, args);
  }

  // Runs with and without ticks, and compares what is printed.
  std::string expect_same_output(const Args& args) const {
    const ProgramResult quiet = run_on_cpu(args, false);
    const ProgramResult ticked = run_on_cpu(args, true);
    expect_success(quiet);
    expect_success(ticked);
    EXPECT_GT(std::stoi(read("ticks")), 0) << "no signal came: nothing was tested";
    EXPECT_EQ(quiet.out, ticked.out);
    return quiet.out;
  }
  static Args train_in(const std::string& out, const std::string& arch, const std::string& threads) {
    return {"train",        "--data", "random.txt",   "--out",   out,       "--arch",          arch, "--preset",
            "nano",         "--steps", "12",          "--ctx-len", "64",    "--batch-size",    "4",  "--threads",
            threads,        "--eval-tokens", "500",   "--sample-tokens", "0", "--precision", "f32"};
  }
};

TEST_P(SignalsTest, TrainingIsTheSameToTheBit) {
  for (const char* arch : {"spikegpt", "event"}) {
    for (const char* threads : {"1", "2"}) {
      const std::string name = std::string(arch) + threads;
      expect_success(run_on_cpu(train_in("quiet-" + name, arch, threads), false));
      expect_success(run_on_cpu(train_in("ticked-" + name, arch, threads), true));
      EXPECT_GT(std::stoi(read("ticks")), 10) << "no signal came: nothing was tested";
      expect_same_tensors(at("quiet-" + name + "/model.safetensors"), at("ticked-" + name + "/model.safetensors"));
      EXPECT_EQ(metrics("quiet-" + name).back().at("valid_loss"), metrics("ticked-" + name).back().at("valid_loss"));
    }
    expect_same_tensors(at(std::string("quiet-") + arch + "1/model.safetensors"),
                        at(std::string("quiet-") + arch + "2/model.safetensors"));
  }
}

TEST_P(SignalsTest, ModelsSayTheSame) {
  expect_success(run_on_cpu(train_in("model", "spikegpt", "1"), false));
  expect_same_output({"generate", "model", "--prompt", "ABC", "--tokens", "300", "--seed", "3"});
  expect_same_output({"eval", "model", "--data", "random.txt", "--json"});
  write("labels.txt", "0 bad and dull\n1 good and fine\n0 sad\n1 glad\n0 dull\n1 fine film\n0 bad film\n1 good\n");
  for (const bool ticks : {false, true}) {
    expect_success(
        run_on_cpu({"classify", "train", ticks ? "ticked" : "quiet", "--data", "labels.txt", "--n-layer", "1",
                    "--n-embd", "16", "--ctx-len", "32", "--epochs", "3", "--dev-fraction", "0.25"},
                   ticks));
  }
  expect_same_tensors(at("quiet/model.safetensors"), at("ticked/model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(Cpus, SignalsTest,
                         testing::Values(CpuCase{"best", "best", "ALL"}, CpuCase{"avx2", "avx2", "AVX2"},
                                         CpuCase{"baseline", "baseline", "SSE41"}),
                         [](const auto& test) { return std::string(test.param.name); });

// Before main the runtime of OpenMP has read its settings, so the program starts itself again with others. A
// timer goes on meanwhile, its handler does not.
using RestartTest = SmallRuns;

TEST_F(RestartTest, ATimerOfAPreloadedLibraryDoesNotEndTheProgram) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a library cannot be preloaded into a program with a sanitizer";
#endif
  for (int i = 0; i < 5; ++i) {
    ProgramOptions options = here();
    options.program = "env";
    const ProgramResult result =
        run_program({"-u", "OMP_WAIT_POLICY", "-u", "GOMP_SPINCOUNT", "LD_PRELOAD=" + tick_file().string(),
                     "SPIKEGPT_TICKS=" + at("ticks").string(), program_file().string(), "--version"},
                    options);
    expect_success(result);
    EXPECT_TRUE(result.out.starts_with("spikegpt ")) << result.out;
  }
}

}  // namespace
}  // namespace spikegpt::test
