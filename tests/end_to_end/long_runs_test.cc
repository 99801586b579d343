// What may happen to a run that takes days: damaged checkpoints, a second process, kills at any moment, a loss that
// runs away.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class LongRunTest : public SmallRuns {
 protected:
  static Args resume(const std::string& out, const Args& more = {}) {
    Args args = {"train", "--out", out, "--resume"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  std::vector<std::string> notes(const std::string& out) const {
    std::vector<std::string> texts;
    for (const Json& line : metrics(out)) {
      if (line.contains("note")) texts.push_back(line.at("note").get<std::string>());
    }
    return texts;
  }
  void flip_a_bit(const std::string& name, std::size_t place) const {
    std::string content = read(name);
    content.at(place) = static_cast<char>(content.at(place) ^ 4);
    write(name, content);
  }
};

TEST_F(LongRunTest, ADamagedCheckpointIsSetAsideAndTheOneBeforeServes) {
  const Args flags = {"--steps", "30", "--save-every", "10", "--keep", "3"};
  make_model("whole", flags);
  const std::string newest = "checkpoints/step-000000030.safetensors";
  const std::string whole = read("whole/" + newest);
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, whole.size() / 2, whole.size()}) {
    SCOPED_TRACE(size);
    make_model("cut", flags);
    write("cut/" + newest, whole.substr(0, size));
    if (size == whole.size()) flip_a_bit("cut/" + newest, size - 1000);  // only the checksum can tell
    const ProgramResult result = run(resume("cut"));
    expect_success(result);
    expect_words(result.out, {"note: ", "step-000000030.safetensors", ".damaged"});
    EXPECT_TRUE(std::filesystem::exists(at("cut/" + newest + ".damaged")));
    expect_same_tensors(at("whole/" + newest), at("cut/" + newest));
    ASSERT_EQ(notes("cut").size(), 1u);
    std::filesystem::remove_all(at("cut"));
  }
}

TEST_F(LongRunTest, WithoutAnyWholeCheckpointNothingIsLostButTheWord) {
  make_model("model", {"--steps", "20", "--save-every", "10"});
  const std::string model = read("model/model.safetensors");
  for (const std::string& name : checkpoints("model")) flip_a_bit("model/checkpoints/" + name, 9000);
  expect_refused(run(resume("model")), 1,
                 {"no checkpoint to resume from", "step-000000010", "step-000000020", "damaged"});
  EXPECT_EQ(read("model/model.safetensors"), model);
  for (const char* name : {"step-000000010.safetensors.damaged", "step-000000020.safetensors.damaged"}) {
    EXPECT_TRUE(std::filesystem::exists(at("model/checkpoints") / name)) << name;
  }
}

TEST_F(LongRunTest, TheFirstFormatOfCheckpointsIsRead) {
  make_model("whole", {"--steps", "20", "--save-every", "10"});
  make_model("old", {"--steps", "20", "--save-every", "10"});
  std::filesystem::remove(at("old/checkpoints/step-000000020.safetensors"));
  const auto path = at("old/checkpoints/step-000000010.safetensors");
  std::vector<TensorView> tensors;
  {
    const WeightFile file = read_safetensors(path);
    tensors.assign(file.tensors().begin(), file.tensors().end());
    write_safetensors(path,
                      {{"format", "spikegpt checkpoint 1"},
                       {"step", "10"},
                       {"seconds", "0.5"},
                       {"config", file.metadata().at("config")}},
                      tensors);
  }
  expect_success(run(resume("old")));
  expect_same_tensors(at("whole/model.safetensors"), at("old/model.safetensors"));
}

TEST_F(LongRunTest, ASecondProcessIsRefused) {
  RunningProgram first(train_args("model", {"--steps", "1000000", "--save-every", "50"}), here());
  while (!first.has_ended() && !std::filesystem::exists(at("model/train.json"))) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  expect_refused(run(resume("model")), 1, {"model is in use", "process", "trains there"});
  first.send(SIGTERM);
  EXPECT_EQ(first.wait().status, 130);
  EXPECT_FALSE(std::filesystem::exists(at("model/lock")));
  expect_success(run(resume("model", {"--steps", "20"})));
}

// Kills at moments of every kind: while it starts, computes, evaluates and saves.
TEST_F(LongRunTest, DozensOfKillsLoseNothing) {
  const Args flags = {"--steps", "900", "--save-every", "4", "--eval-every", "50", "--eval-tokens", "64"};
  make_model("whole", flags);
  std::minstd_rand random(5);
  int kills = 0;
  bool done = false;
  for (int attempt = 0; attempt < 400 && !done; ++attempt) {
    const bool begun = std::filesystem::exists(at("cut/train.json"));
    RunningProgram program(begun ? resume("cut") : train_args("cut", flags), here());
    // The first dozens die early and late; then it may finish.
    if (kills < 40) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
      program.send(SIGKILL);
    }
    const ProgramResult result = program.wait();
    if (result.signal == SIGKILL) {
      ++kills;
    } else {
      ASSERT_EQ(result.status, 0) << result.err;
      done = true;
    }
  }
  EXPECT_TRUE(done);
  EXPECT_GE(kills, 8);
  RecordProperty("kills", kills);
  expect_same_tensors(at("whole/model.safetensors"), at("cut/model.safetensors"));
  expect_same_tensors(at("whole/best/model.safetensors"), at("cut/best/model.safetensors"));
  expect_same_tensors(at("whole/checkpoints/step-000000900.safetensors"),
                      at("cut/checkpoints/step-000000900.safetensors"));
  for (const auto& [name, content] : content_of(at("cut"))) {
    EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
  }
}

TEST_F(LongRunTest, TheBestModelIsKeptApart) {
  // A learning rate that spoils now and then what was learned.
  write("valid.txt", small_text(300));
  make_model("model", {"--steps", "100", "--eval-every", "5", "--lr", "2e-1", "--schedule", "constant", "--precision",
                       "f32", "--valid", "valid.txt", "--eval-tokens", "0", "--retries", "0", "--loss-spike", "0"});
  std::vector<double> losses;
  for (const Json& line : metrics("model")) {
    if (line.contains("valid_loss") && line.at("step") > 0) losses.push_back(line.at("valid_loss").get<double>());
  }
  const double best = *std::min_element(losses.begin(), losses.end());
  ASSERT_GT(losses.back(), best + 1e-4) << "the last is not to be the best";
  const ProgramResult result = run({"eval", "model/best", "--data", "valid.txt", "--json"});
  expect_success(result);
  EXPECT_NEAR(Json::parse(result.out).at("windows").at("loss").get<double>(), best, 1e-5);
  make_model("without", {"--steps", "10", "--keep-best", "false"});
  EXPECT_FALSE(std::filesystem::exists(at("without/best")));
}

TEST_F(LongRunTest, ALossThatIsNotFiniteGoesBackAndTriesAgain) {
  const Args wild = {"--arch",  "rwkv", "--precision",  "f32", "--grad-clip",  "0",
                     "--lr",    "9.9",  "--beta2",      "0",   "--schedule",   "constant",
                     "--steps", "40",   "--save-every", "1",   "--eval-every", "0"};
  Args once = wild;
  once.insert(once.end(), {"--retries", "2", "--loss-spike", "0"});
  const ProgramResult gives_up = run(train_args("wild", once));
  expect_stopped(gives_up, {"not finite", "after 2 retries"});
  const std::vector<std::string> told = notes("wild");
  ASSERT_EQ(told.size(), 2u);
  expect_words(told[0], {"back to step", "learning rate x 0.5", "retry 1 of 2"});
  expect_words(told[1], {"learning rate x 0.25", "retry 2 of 2"});
  expect_words(gives_up.out, {"note: step "});
}

TEST_F(LongRunTest, ALossThatRunsAwayGoesBackAndEndsWell) {
  const Args flags = {"--steps", "400",        "--save-every", "100",    "--eval-every", "0",           "--lr",
                      "1e-2",    "--schedule", "constant",     "--arch", "rwkv",         "--precision", "f32"};
  make_model("model", flags);
  // From here on the weights are noise: the loss jumps, and stays up for a while.
  const auto newest = at("model/checkpoints/step-000000400.safetensors");
  change_tensors(newest, [](OwnedTensors& tensors) { fill_floats(tensors.at("ln_out.weight"), 60.0f); });
  const ProgramResult result = run(resume("model", {"--steps", "460", "--lr", "1e-5", "--lr-final", "1e-5"}));
  expect_stopped(result, {"the loss runs away", "after 3 retries", "--loss-spike"});
  EXPECT_EQ(notes("model").size(), 3u);
  std::filesystem::remove(newest);
  expect_success(run(resume("model", {"--steps", "460", "--lr", "1e-3", "--retries", "3"})));
}

TEST_F(LongRunTest, AnotherTextIsNoted) {
  make_model("model", {"--steps", "10"});
  write("more.txt", small_text(3000));
  expect_success(run(resume("model", {"--data", "more.txt", "--steps", "12"})));
  ASSERT_EQ(notes("model").size(), 1u);
  expect_words(notes("model")[0], {"the text to learn from has", "before step 10"});
}

TEST_F(LongRunTest, AHangUpSavesAndLeaves) {
  RunningProgram training(train_args("model", {"--steps", "1000000", "--save-every", "0"}), here());
  while (!training.has_ended() && !std::filesystem::exists(at("model/train.json"))) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  training.send(SIGHUP);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  training.send(SIGTERM);  // to the process and to its group: still one wish
  const ProgramResult result = training.wait();
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_EQ(checkpoints("model").size(), 1u);
}

}  // namespace
}  // namespace spikegpt::test
