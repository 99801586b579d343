// Three architectures trained alike, measured, and gone on with after a stop.
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class CompareTest : public SmallRuns {
 protected:
  CompareTest() {
    write("long.txt", small_text(4000));
    write("held.txt", small_text(4400).substr(read("long.txt").size()));
  }

  static Args compare_args(const Args& more = {}) {
    Args args = {"compare", "--data",          "long.txt", "--valid",         "held.txt", "--out",
                 "all",     "--n-layer",       "1",        "--n-embd",        "16",       "--ctx-len",
                 "16",      "--batch-size",    "2",        "--eval-tokens",   "64",       "--eval-every",
                 "0",       "--sample-tokens", "0",        "--energy-tokens", "300",      "--rate-weight",
                 "0.5"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
};

TEST_F(CompareTest, AllAreTrainedAlikeAndMeasured) {
  const ProgramResult result = run(compare_args({"--steps", "6"}));
  expect_success(result);
  expect_words(result.out, {"rwkv-1 (1 of 3)", "event-1 (3 of 3)", "held-out bits/character", "rwkv, seed 1",
                            "spikegpt, seed 1", "event, seed 1", "all/compare.html"});
  const Json json = Json::parse(read("all/compare.json"));
  ASSERT_EQ(json.at("models").size(), 3u);
  for (const Json& model : json.at("models")) {
    const std::string folder = "all/" + model.at("arch").get<std::string>() + "-1";
    const ProgramResult eval = run({"eval", folder, "--data", "held.txt", "--precision", "f32", "--json"});
    expect_success(eval);
    EXPECT_NEAR(model.at("bits").get<double>(),
                Json::parse(eval.out).at("windows").at("bits_per_character").get<double>(), 1e-6);
    const ProgramResult energy = run({"energy", folder, "--data", "held.txt", "--max-tokens", "300", "--json"});
    expect_success(energy);
    const Json accounts = Json::parse(energy.out).at("per_token");
    for (const char* account : {"twin", "paper", "needed"}) {
      const Json& cost = accounts.at(account);
      const double joules =
          cost.at("products").at("joules").get<double>() + cost.at("elementwise").at("joules").get<double>();
      EXPECT_NEAR(model.at(std::string("joules_") + account).get<double>(), joules, 1e-9 * joules) << account;
    }
    EXPECT_GT(model.at("dense_tokens_per_second").get<double>(), 0.0);
    EXPECT_GT(model.at("event_tokens_per_second").get<double>(), 0.0);
    const Json train = Json::parse(read(folder + "/train.json")).at("train");
    EXPECT_EQ(train.at("rate_weight"), model.at("arch") == "event" ? 0.5 : 0.0);
    EXPECT_EQ(train.at("seed"), 1);
  }
  expect_words(read("all/compare.md"), {"| model |", "| event, seed 1 |"});
  const std::string html = read("all/compare.html");
  expect_words(html, {"Quality against energy", "Loss, bits per character", "spikegpt, seed 1"});
  for (const char* outside : {"http:", "https:", "src="}) EXPECT_EQ(html.find(outside), std::string::npos) << outside;

  // What is finished is not done again; another seed adds to it.
  const auto weights = std::filesystem::last_write_time(at("all/event-1/model.safetensors"));
  const std::string before = read("all/compare.json");
  expect_success(run(compare_args({"--steps", "6"})));
  EXPECT_EQ(read("all/compare.json"), before);
  EXPECT_EQ(std::filesystem::last_write_time(at("all/event-1/model.safetensors")), weights);
  const ProgramResult more = run(compare_args({"--steps", "6", "--archs", "rwkv,event", "--seeds", "1,2"}));
  expect_success(more);
  expect_words(more.out, {"event, seed 2", "event, mean"});
  EXPECT_EQ(std::filesystem::last_write_time(at("all/event-1/model.safetensors")), weights);
}

TEST_F(CompareTest, AStoppedOneGoesOn) {
  const Args args = compare_args({"--steps", "4000", "--archs", "rwkv", "--save-every", "500"});
  RunningProgram first(args, here());
  while (!first.has_ended() && !std::filesystem::exists(at("all/rwkv-1/train.json")))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  expect_refused(run(args), 1, {"all is in use"});
  first.send(SIGINT);
  const ProgramResult stopped = first.wait();
  EXPECT_EQ(stopped.status, 130);
  expect_words(stopped.out, {"stopped; the same command goes on"});
  EXPECT_FALSE(std::filesystem::exists(at("all/compare.json")));
  expect_success(run(args));
  EXPECT_TRUE(std::filesystem::exists(at("all/compare.html")));
}

TEST_F(CompareTest, OtherFlagsAndBadInputAreRefused) {
  expect_success(run(compare_args({"--steps", "2", "--archs", "rwkv"})));
  expect_refused(run(compare_args({"--steps", "3", "--archs", "rwkv"})), 1,
                 {"all/rwkv-1 was begun with steps = 2, now it is 3", "--out"});
  expect_refused(run({"compare", "--data", "none.txt", "--out", "fresh", "--archs", "rwkv,gpt"}), 2, {"gpt"});
  expect_refused(run({"compare", "--data", "long.txt", "--out", "fresh", "--preset", "huge"}), 1, {"preset", "tiny"});
  expect_refused(run({"compare", "--data", "long.txt"}), 2, {"--out"});
  write("short.txt", small_text(300));
  const ProgramResult short_text = run({"compare", "--data", "short.txt", "--out", "fresh", "--ctx-len", "16"});
  EXPECT_EQ(short_text.status, 1);
  expect_words(short_text.err, {"held out", "320"});
}

}  // namespace
}  // namespace spikegpt::test
