// Runs that are interrupted, killed, finished or never begun, and going on with them.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ResumeTest : public SmallRuns {
 protected:
  static constexpr const char* kLastCheckpoint = "checkpoints/step-000000300.safetensors";

  // Long enough to be interrupted, with evaluations and checkpoints on the way.
  static Args long_run(const std::string& out, const Args& more) {
    Args args = train_args(out, {"--steps", "300", "--eval-every", "100", "--save-every", "80"});
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }

  std::size_t lines_written(const std::string& out) const {
    const std::string text = read(out + "/metrics.jsonl");
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  // Starts the program and sends the signal once `steps` more lines of metrics are there.
  ProgramResult interrupt(const Args& args, const std::string& out, int signal, std::size_t steps) const {
    const std::size_t before = std::filesystem::exists(at(out)) ? lines_written(out) : 0;
    RunningProgram training(args, here());
    while (!training.has_ended() && lines_written(out) < before + steps) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    training.send(signal);
    return training.wait();
  }

  // The same for a new run. On a busy machine it may be over before the signal comes: then it is
  // tried again.
  ProgramResult interrupt_new(const Args& args, const std::string& out, int signal, std::size_t steps) const {
    ProgramResult result;
    for (int attempt = 0; attempt < 10; ++attempt) {
      std::filesystem::remove_all(at(out));
      result = interrupt(args, out, signal, steps);
      if (result.status != 0) break;
    }
    return result;
  }

  // metrics.jsonl without what differs from run to run: the time.
  std::vector<std::string> timeless_metrics(const std::string& out) const {
    std::vector<std::string> lines;
    for (Json line : metrics(out)) {
      line.erase("seconds");
      line.erase("tokens_per_second");
      lines.push_back(line.dump());
    }
    return lines;
  }

  void expect_same_run(const std::string& a, const std::string& b, const std::string& checkpoint) const {
    expect_same_tensors(at(a + "/model.safetensors"), at(b + "/model.safetensors"));
    expect_same_tensors(at(a) / checkpoint, at(b) / checkpoint);
    EXPECT_EQ(read(a + "/model.safetensors"), read(b + "/model.safetensors"));
    EXPECT_EQ(read(a + "/config.json"), read(b + "/config.json"));
    EXPECT_EQ(read(a + "/train.json"), read(b + "/train.json"));
    EXPECT_EQ(timeless_metrics(a), timeless_metrics(b));
  }
};

struct Variant {
  const char* name;
  Args flags;
};

class ResumeVariantTest : public ResumeTest, public testing::WithParamInterface<Variant> {};

TEST_P(ResumeVariantTest, AnInterruptedRunEndsBitForBitLikeOneThatWasNot) {
  expect_success(run(long_run("whole", GetParam().flags)));
  const ProgramResult first = interrupt_new(long_run("cut", GetParam().flags), "cut", SIGINT, 20);
  ASSERT_EQ(first.status, 130) << first.err;
  EXPECT_EQ(first.signal, 0);
  expect_words(first.out, {"stopped after step ", "spikegpt train --out cut --resume"});
  ASSERT_FALSE(checkpoints("cut").empty());
  const ProgramResult second = interrupt({"train", "--out", "cut", "--resume"}, "cut", SIGTERM, 20);
  ASSERT_TRUE(second.status == 130 || second.status == 0) << second.err;  // 0: over before the signal
  expect_success(run({"train", "--out", "cut", "--resume"}));
  expect_same_run("whole", "cut", kLastCheckpoint);
}

INSTANTIATE_TEST_SUITE_P(
    Variants, ResumeVariantTest,
    testing::Values(Variant{"spikegpt_f32", {"--precision", "f32"}}, Variant{"spikegpt_auto", {"--precision", "auto"}},
                    Variant{"spikegpt_recompute", {"--recompute", "true"}},
                    Variant{"consecutive_windows", {"--windows", "consecutive", "--accumulate", "2"}},
                    Variant{"rwkv_accumulate", {"--arch", "rwkv", "--accumulate", "2"}},
                    Variant{"event_dropout", {"--arch", "event", "--dropout", "0.2"}}),
    [](const auto& variant) { return std::string(variant.param.name); });

TEST_F(ResumeTest, AKilledRunGoesOnFromItsLastCheckpoint) {
  expect_success(run(long_run("whole", {})));
  const ProgramResult killed = interrupt_new(long_run("cut", {}), "cut", SIGKILL, 120);
  ASSERT_EQ(killed.signal, SIGKILL) << killed.err;
  ASSERT_FALSE(checkpoints("cut").empty());
  expect_success(run({"generate", "cut", "--prompt", "the", "--tokens", "3"}));
  write("cut/metrics.jsonl", read("cut/metrics.jsonl") + "{\"step\":999,\"lo");  // a line cut short
  expect_success(run({"train", "--out", "cut", "--resume"}));
  expect_same_run("whole", "cut", kLastCheckpoint);
}

TEST_F(ResumeTest, ARunKilledBeforeItsFirstCheckpointStartsAgain) {
  const Args whole = train_args("whole", {"--steps", "300", "--save-every", "0", "--eval-every", "100"});
  const Args cut = train_args("cut", {"--steps", "300", "--save-every", "0", "--eval-every", "100"});
  expect_success(run(whole));
  ASSERT_EQ(interrupt_new(cut, "cut", SIGKILL, 20).signal, SIGKILL);
  ASSERT_TRUE(checkpoints("cut").empty());
  expect_success(run({"train", "--out", "cut", "--resume"}));
  expect_same_run("whole", "cut", kLastCheckpoint);
}

TEST_F(ResumeTest, TheOneBeforeServesWhenTheNewestCheckpointIsGone) {
  const Args flags = {"--steps", "30", "--save-every", "10", "--keep", "3", "--eval-every", "5"};
  make_model("whole", flags);
  make_model("cut", flags);
  const std::vector<std::string> kept = {"step-000000010.safetensors", "step-000000020.safetensors",
                                         "step-000000030.safetensors"};
  EXPECT_EQ(checkpoints("cut"), kept);
  std::filesystem::remove(at("cut/checkpoints") / kept.back());
  expect_success(run({"train", "--out", "cut", "--resume"}));
  EXPECT_EQ(checkpoints("cut"), kept);
  expect_same_run("whole", "cut", "checkpoints/" + kept.back());
}

TEST_F(ResumeTest, TheThreadsDoNotMatter) {
  make_model("one", {"--steps", "20", "--threads", "1"});
  make_model("two", {"--steps", "20", "--threads", "2"});
  expect_same_run("one", "two", "checkpoints/step-000000020.safetensors");
}

TEST_F(ResumeTest, AFinishedRunStaysAsItIs) {
  make_model("model", {"--steps", "12"});
  const auto before = content_of(at("model"));
  const ProgramResult result = run({"train", "--out", "model", "--resume"});
  expect_success(result);
  expect_words(result.out, {"12 steps"});
  EXPECT_EQ(content_of(at("model")), before);
}

TEST_F(ResumeTest, AFinishedRunCanBeMadeLonger) {
  make_model("model", {"--steps", "12", "--eval-every", "0"});
  expect_success(run({"train", "--out", "model", "--resume", "--steps", "20"}));
  std::vector<int> steps;
  for (const Json& line : metrics("model")) {
    if (line.contains("loss")) steps.push_back(line.at("step").get<int>());
  }
  ASSERT_EQ(steps.size(), 20u);
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], static_cast<int>(i) + 1);
  EXPECT_EQ(Json::parse(read("model/train.json")).at("train").at("steps").get<int>(), 20);
}

TEST_F(ResumeTest, WithoutARunThereIsNothingToResume) {
  expect_refused(run({"train", "--out", "nowhere", "--resume"}), 1, {"nowhere", "no run to resume", "train.json"});
  EXPECT_FALSE(std::filesystem::exists(at("nowhere")));
  make_model("model");
  std::filesystem::remove_all(at("model/checkpoints"));
  const auto before = content_of(at("model"));
  expect_refused(run({"train", "--out", "model", "--resume"}), 1, {"model", "no checkpoint to resume from"});
  std::filesystem::remove(at("model/train.json"));
  expect_refused(run({"train", "--out", "model", "--resume"}), 1, {"model", "train.json"});
  EXPECT_EQ(read("model/model.safetensors"), before.at("model.safetensors"));
  EXPECT_EQ(read("model/metrics.jsonl"), before.at("metrics.jsonl"));
}

TEST_F(ResumeTest, AnExistingModelIsNotTrainedOver) {
  make_model("model");
  const auto before = content_of(folder());
  expect_refused(run(train_args("model", {"--steps", "3"})), 1, {"model already holds a model", "--out", "--resume"});
  std::filesystem::remove(at("model/train.json"));
  expect_refused(run(train_args("model", {"--steps", "3"})), 1, {"model already holds a model"});
  write("model/train.json", before.at("model/train.json"));
  EXPECT_EQ(content_of(folder()), before);
}

TEST_F(ResumeTest, SettingsThatDoNotFitTheRunLeaveItUntouched) {
  make_model("model", {"--steps", "6"});
  const auto before = content_of(folder());
  const auto resume = [&](const std::string& flag, const std::string& value) {
    return run({"train", "--out", "model", "--resume", flag, value});
  };
  const std::string newest = "step-000000006.safetensors";
  expect_refused(resume("--n-embd", "32"), 1, {newest, "emb.weight", "shape", "[15, 32]"});
  expect_refused(resume("--arch", "event"), 1, {newest, "gain", "missing"});
  expect_refused(resume("--n-layer", "2"), 1, {newest, "blocks.1.", "missing"});
  expect_refused(resume("--precision", "f64"), 1, {"precision \"f64\"", "auto, f32 or bf16"});
  expect_refused(resume("--data", "none.txt"), 1, {"none.txt", "No such file"});
  expect_refused(resume("--lr", "-3"), 1, {"lr = -3", "positive"});
  EXPECT_EQ(content_of(folder()), before);
  std::filesystem::rename(at("text.txt"), at("elsewhere.txt"));
  expect_refused(run({"train", "--out", "model", "--resume"}), 1, {"text.txt", "No such file"});
  expect_success(resume("--data", "elsewhere.txt"));
}

TEST_F(ResumeTest, SettingsThatARunRefusesDoNotSpoilItsFolder) {
  for (const Args& bad : {Args{"--precision", "f64"}, Args{"--init", "zeros"}, Args{"--surrogate", "step"}}) {
    expect_refused(run(train_args("model", bad)), 1, {bad[1]});
  }
  make_model("model");
}

TEST_F(ResumeTest, RunsByTheClockEndByTheClock) {
  const ProgramResult result =
      run(train_args("model", {"--minutes", "0.004", "--eval-every", "0", "--warmup-steps", "3"}));
  expect_success(result);
  const std::vector<Json> lines = metrics("model");
  ASSERT_GT(lines.size(), 6u);
  EXPECT_NEAR(lines[lines.size() - 2].at("seconds").get<double>(), 0.24, 0.2);
  double largest = 0.0;
  double last = 0.0;
  for (const Json& line : lines) {
    if (!line.contains("lr")) continue;
    last = line.at("lr").get<double>();
    largest = std::max(largest, last);
  }
  EXPECT_GT(largest, 4e-4);
  EXPECT_LT(last, 0.5 * largest);
}

}  // namespace
}  // namespace spikegpt::test
