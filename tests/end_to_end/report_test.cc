// Pages of training runs and statistics of spikes, as a user asks for them.
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ReportTest : public SmallRuns {};

TEST_F(ReportTest, APageOfARunThatWasResumed) {
  expect_success(
      run({"train", "--data",       "text.txt", "--out",           "model", "--arch",       "event", "--n-layer",
           "2",     "--n-embd",     "16",       "--ctx-len",       "16",    "--batch-size", "2",     "--steps",
           "8",     "--eval-every", "4",        "--sample-tokens", "12"}));
  expect_success(run({"train", "--out", "model", "--resume", "--steps", "12"}));
  const ProgramResult result = run({"report", "model"});
  expect_success(result);
  EXPECT_EQ(result.out, "model/report.html\n");
  const std::string html = read("model/report.html");
  expect_words(html, {"event 2 x 16", "What it wrote", "step 12", "begun at step 0", "resumed at step 8", "ffn_hidden",
                      "bits per character", "checkpoints/step-000000012.safetensors",
                      "<tr class=\"marked\"><th scope=\"row\">n_layer</th><td>2</td><td>12</td>"});
  for (const char* outside : {"http:", "https:", "src="}) EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  // Samples and rates are kept with the metrics.
  int samples = 0;
  for (const Json& line : metrics("model")) {
    samples += line.contains("sample");
    if (line.contains("valid_loss")) {
      EXPECT_EQ(line.at("site_firing_rates").size(), 8u);
    }
  }
  EXPECT_EQ(samples, 3);
  // The run goes on as if the page were not there.
  expect_success(run({"train", "--out", "model", "--resume", "--steps", "13"}));
}

TEST_F(ReportTest, ARunUnderWayAndSeveralRuns) {
  RunningProgram training(train_args("going", {"--steps", "1000000"}), here());
  while (!training.has_ended() &&
         (!std::filesystem::exists(at("going/metrics.jsonl")) || read("going/metrics.jsonl").size() < 3000)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  expect_success(run({"report", "going"}));
  training.send(SIGTERM);
  EXPECT_EQ(training.wait().status, 130);
  make_model("one", {"--steps", "1"});
  expect_success(run({"report", "one"}));
  const ProgramResult both = run({"report", "going", "one", "--out", "both.html"});
  expect_success(both);
  expect_words(read("both.html"), {"2 training runs", "going", "one, held-out"});
}

TEST_F(ReportTest, WhatIsNoRunIsRefused) {
  std::filesystem::create_directory(at("empty"));
  expect_refused(run({"report", "empty"}), 1, {"empty holds no training run", "metrics.jsonl"});
  expect_refused(run({"report", "none"}), 1, {"none is not a folder"});
  expect_refused(run({"report"}), 2, {"folders"});
  make_model("one", {"--steps", "1"});
  expect_refused(run({"report", "one", "one"}), 1, {"--out FILE.html is missing"});
  expect_refused(run({"report", "one", "--out", "text.txt/page.html"}), 1, {"text.txt/page.html"});
  EXPECT_FALSE(std::filesystem::exists(at("one/report.html")));
}

TEST_F(ReportTest, SpikesAreCountedListedAndDrawn) {
  for (const std::string arch : {"spikegpt", "event"}) {
    make_model(arch, {"--steps", "10", "--arch", arch, "--eval-every", "0"});
    const ProgramResult result = run({"spikes", arch, "--data", "text.txt", "--max-tokens", "700", "--json", "--csv",
                                      arch + "-csv", "--plot", arch + "-svg"});
    expect_success(result);
    const Json json = Json::parse(result.out);
    EXPECT_EQ(json.at("tokens"), 700);
    const ProgramResult energy = run({"energy", arch, "--data", "text.txt", "--max-tokens", "700", "--json"});
    expect_success(energy);
    const Json other = Json::parse(energy.out);
    EXPECT_EQ(json.at("firing_rate"), other.at("firing_rate")) << "two ways to count the same";
    ASSERT_EQ(json.at("sites").size(), other.at("sites").size());
    std::size_t neurons = 0;
    for (std::size_t i = 0; i < json.at("sites").size(); ++i) {
      EXPECT_EQ(json.at("sites")[i].at("name"), other.at("sites")[i].at("name"));
      EXPECT_EQ(json.at("sites")[i].at("firing_rate"), other.at("sites")[i].at("firing_rate"));
      neurons += json.at("sites")[i].at("neurons").get<std::size_t>();
    }
    EXPECT_EQ(lines_of(read(arch + "-csv/neurons.csv")).size(), neurons + 1);
    EXPECT_EQ(lines_of(read(arch + "-csv/sites.csv")).size(), json.at("sites").size() + 1);
    for (const char* name : {"layers", "neurons", "intervals", "places"}) {
      EXPECT_TRUE(read(arch + "-svg/" + name + ".svg").starts_with("<?xml")) << name;
    }
    const ProgramResult table = run({"spikes", arch, "--data", "text.txt", "--max-tokens", "300", "--window", "16"});
    expect_success(table);
    expect_words(table.out, {"saturated", "CV", "spikes.0."});
  }
}

TEST_F(ReportTest, SpikesOfAModelWithoutNeuronsAreRefused) {
  make_model("model", {"--steps", "2", "--arch", "rwkv"});
  expect_refused(run({"spikes", "model", "--data", "text.txt"}), 1, {"arch rwkv has no neurons"});
  expect_refused(run({"spikes", "none", "--data", "text.txt"}), 1, {"none is not a model folder"});
  expect_refused(run({"spikes", "model"}), 2, {"--data"});
  expect_refused(run({"spikes", "model", "--data", "text.txt", "--saturated", "2"}), 2, {"--saturated"});
}

}  // namespace
}  // namespace spikegpt::test
