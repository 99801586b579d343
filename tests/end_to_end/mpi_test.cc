// Several processes that train one model: the same as one, and what happens when one of them dies, hangs or errs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "spikegpt/core/host_name.h"
#include "tests/end_to_end/mpi_jobs.h"

namespace spikegpt::test {
namespace {

class MpiTest : public MpiJobs {
 protected:
  static Args train(const std::string& out, const Args& more) {
    Args args = train_args(out, {"--precision", "f32", "--threads", "1", "--eval-tokens", "64"});
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  static Args resume(const std::string& out, const Args& more = {}) {
    Args args = {"train", "--out", out, "--resume", "--threads", "1"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // A run that would take for ever, once it has saved; then `strike` does something to it.
  ProgramResult strike_down(const std::string& out, const std::function<void(RunningProgram&)>& strike) const {
    RunningProgram job(on(2, train(out, {"--steps", "1000000", "--schedule", "constant", "--accumulate", "2",
                                         "--save-every", "20", "--patience", "4"})),
                       mpirun());
    if (wait_for_checkpoint(out, job)) strike(job);
    const auto struck = std::chrono::steady_clock::now();
    ProgramResult result = job.wait();
    EXPECT_FALSE(result.timed_out);
    EXPECT_LT(std::chrono::steady_clock::now() - struck, std::chrono::seconds(60));
    return result;
  }
};

TEST_F(MpiTest, LossesAreThoseOfOneProcess) {
  const Args flags = {"--steps", "20", "--arch", "event", "--eval-every", "5"};
  const auto with = [&](const char* accumulate) {
    Args args = flags;
    args.insert(args.end(), {"--accumulate", accumulate});
    return args;
  };
  expect_success(run(train("one", with("4"))));
  const ProgramResult two = run_on(2, train("two", with("2")));
  expect_success(two);
  expect_success(run_on(4, train("four", with("1"))));
  EXPECT_EQ(losses("one").size(), 20u);
  for (const Json& line : metrics("two")) EXPECT_EQ(line.contains("waited"), line.contains("loss")) << line;
  expect_same_losses("one", "two");
  expect_same_losses("one", "four");
  EXPECT_EQ(two.out.find("trained"), two.out.rfind("trained")) << "more than one rank talks: " << two.out;
}

// Sequences that carry their memory are shared out as well.
TEST_F(MpiTest, ADeadRankEndsTheJobAndOthersGoOn) {
  const ProgramResult result = strike_down("cut", [&](RunningProgram&) { send(1, SIGKILL); });
  EXPECT_NE(result.status, 0);
  expect_words(result.err, {"rank 1 ", "Killed"});
  const std::size_t done = losses("cut").size();
  const std::string steps = std::to_string(done + 20);
  expect_success(
      run(train("whole", {"--steps", steps, "--schedule", "constant", "--accumulate", "4", "--save-every", "20"})));
  std::filesystem::copy(at("cut"), at("cut4"), std::filesystem::copy_options::recursive);
  expect_success(run(resume("cut", {"--steps", steps})));
  expect_same_losses("whole", "cut");
  expect_success(run_on(4, resume("cut4", {"--steps", steps})));
  expect_same_losses("whole", "cut4");
}

TEST_F(MpiTest, AHangingRankEndsTheJob) {
  const ProgramResult result = strike_down("model", [&](RunningProgram&) { send(1, SIGSTOP); });
  EXPECT_EQ(result.status, 1);
  expect_words(result.err, {"spikegpt: rank 1 on " + host_name() + " has given no sign of life for 4 s", "--resume"});
}

TEST_F(MpiTest, AHangingLeaderEndsTheJob) {
  const ProgramResult result = strike_down("model", [&](RunningProgram&) { send(0, SIGSTOP); });
  EXPECT_EQ(result.status, 1);
  expect_words(result.err, {"spikegpt: rank 0 on " + host_name() + " has given no sign of life for 4 s"});
}

// Rank 1 stands in a folder of its own, with data of its own, which then break off.
TEST_F(MpiTest, AFollowerThatFailsEndsTheJob) {
  make_model("words");
  std::filesystem::create_directory(at("far"));
  for (const char* out : {"corpus", "far/corpus"}) expect_success(run({"tokenize", "words", "text.txt", "--out", out}));
  std::filesystem::copy(at("words"), at("far/words"));
  const Args train = {"train",
                      "--data",
                      "corpus.bin",
                      "--tokenizer",
                      "words/vocab.json",
                      "--out",
                      "model",
                      "--n-layer",
                      "1",
                      "--n-embd",
                      "16",
                      "--ctx-len",
                      "16",
                      "--batch-size",
                      "2",
                      "--steps",
                      "1000000",
                      "--save-every",
                      "20",
                      "--threads",
                      "1"};
  Args words = on(1, train);
  words.insert(words.end(), {":", "--wdir", "far"});
  for (const std::string& word : on(1, train)) words.push_back(word);
  RunningProgram job(words, mpirun());
  ASSERT_TRUE(wait_for_checkpoint("model", job)) << job.wait().err;
  std::filesystem::resize_file(at("far/corpus.bin"), 0);
  const auto struck = std::chrono::steady_clock::now();
  const ProgramResult result = job.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - struck, std::chrono::seconds(60));
  EXPECT_NE(result.status, 0);
  expect_words(result.err, {"a file that was being read became shorter", ",1]\n  Exit code:    1"});
  const std::string steps = std::to_string(losses("model").size() + 20);
  expect_success(run(resume("model", {"--steps", steps})));
}

TEST_F(MpiTest, ASignalSavesAndLeaves) {
  const ProgramResult result = strike_down("model", [](RunningProgram& job) { job.send(SIGUSR1); });
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_FALSE(std::filesystem::exists(at("model/lock")));
  const std::size_t done = losses("model").size();
  EXPECT_EQ(checkpoints("model").back(), fmt::format("step-{:09}.safetensors", done));
}

TEST_F(MpiTest, WhatOneRankCannotUseIsSaidOnce) {
  const auto refused = [](const ProgramResult& result, const std::vector<std::string_view>& words) {
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_EQ(result.err.find("spikegpt: "), result.err.rfind("spikegpt: ")) << "more than one message: " << result.err;
    expect_words(result.err, words);
  };
  const auto beside = [&](const Args& first, const Args& second) {
    Args words = on(1, first);
    words.push_back(":");
    const Args more = on(1, second);
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words, mpirun());
  };
  const Args good = train("model", {"--steps", "4"});
  Args missing = good;
  missing[2] = "missing.txt";
  refused(run_on(3, missing), {"missing.txt"});
  refused(beside(good, missing), {"spikegpt: rank 1 on " + host_name() + ": ", "missing.txt"});
  refused(beside(good, train("model", {"--steps", "5"})), {"rank 1 on ", "are not those of rank 0"});
  EXPECT_FALSE(std::filesystem::exists(at("model")));
  make_model("model");
  refused(run_on(2, good), {"already holds a model"});
  refused(run_on(3, resume("model", {"--accumulate", "4"})), {"4 micro-batches", "3 processes"});
}

TEST_F(MpiTest, ADryRunTimesAllRanks) {
  const ProgramResult result = run_on(2, train("model", {"--dry-run", "--accumulate", "2"}));
  expect_success(result);
  expect_words(result.out, {"a step of 128 tokens", "nothing was written"});
  EXPECT_EQ(result.out.find("memory"), result.out.rfind("memory")) << result.out;
  EXPECT_FALSE(std::filesystem::exists(at("model")));
}

// With such a setting MPI cannot be initialised.
TEST_F(MpiTest, AProcessThatIsAloneDoesNotTouchMpi) {
  setenv("OMPI_MCA_pml", "none-such", 1);
  const ProgramResult alone = run(train("alone", {"--steps", "2"}));
  const ProgramResult together = run_on(2, train("together", {"--steps", "2"}));
  unsetenv("OMPI_MCA_pml");
  expect_success(alone);
  EXPECT_NE(together.status, 0);
}

TEST_F(MpiTest, ALossThatIsNotFiniteGoesBackOnAllRanks) {
  const ProgramResult result = run_on(
      2, train("wild", {"--arch",     "rwkv",     "--grad-clip",  "0",  "--lr",         "9.9", "--beta2",      "0",
                        "--schedule", "constant", "--steps",      "40", "--save-every", "1",   "--eval-every", "0",
                        "--retries",  "1",        "--loss-spike", "0"}));
  EXPECT_EQ(result.status, 1);
  expect_words(result.out, {"note: step ", "retry 1 of 1"});
  expect_words(result.err, {"not finite", "after 1 retries"});
}

}  // namespace
}  // namespace spikegpt::test
