// The program's comparison of its own routes.
#include <gtest/gtest.h>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class CheckTest : public SmallRuns {};

TEST_F(CheckTest, RoutesAgree) {
  for (const std::string arch : {"spikegpt", "rwkv", "event"}) {
    make_model(arch, {"--steps", "10", "--arch", arch, "--eval-every", "0"});
    const ProgramResult result = run({"check", arch, "--data", "text.txt", "--tokens", "150", "--json"});
    expect_success(result);
    const Json json = Json::parse(result.out);
    EXPECT_EQ(json.at("tokens"), 150);
    EXPECT_EQ(json.at("neurons").get<int>() > 0, arch != "rwkv");
    ASSERT_EQ(json.at("routes").size(), 7u);
    for (const Json& route : json.at("routes")) {
      EXPECT_TRUE(!route.at("must_be_equal").get<bool>() || route.at("same_bits").get<bool>()) << route;
      EXPECT_LT(route.at("largest_logit_difference").get<double>(), 1e-4) << route;
      EXPECT_EQ(route.at("flipped_spikes_by_layer").size(), 2u) << "one layer and the head";
    }
  }
}

// Weights of fewer bits are another model: that is seen, and is no failure.
TEST_F(CheckTest, RoundedWeightsAreSeen) {
  make_model("model", {"--steps", "10", "--arch", "event", "--eval-every", "0"});
  const Args args = {"check", "model", "--data", "text.txt", "--tokens", "150", "--type", "int4"};
  Args as_json = args;
  as_json.push_back("--json");
  const Json json = Json::parse(run(as_json).out);
  const Json& last = json.at("routes").back();
  EXPECT_EQ(last.at("against"), "in parallel");
  EXPECT_GT(last.at("largest_logit_difference").get<double>(), 1e-4);
  const ProgramResult table = run(args);
  expect_success(table);
  expect_words(table.out, {"int4 weights", "same bits", "flipped spikes"});
}

TEST_F(CheckTest, PackedFoldersStepOnly) {
  make_model("model", {"--steps", "5", "--arch", "event", "--eval-every", "0"});
  expect_success(run({"quantize", "model", "packed", "--type", "int8"}));
  const ProgramResult result = run({"check", "packed", "--data", "text.txt", "--tokens", "50", "--json"});
  expect_success(result);
  EXPECT_EQ(Json::parse(result.out).at("routes").size(), 4u);
  expect_refused(run({"check", "packed", "--data", "none.txt"}), 1, {"none.txt"});
  expect_refused(run({"check", "nowhere", "--data", "text.txt"}), 1, {"nowhere"});
}

}  // namespace
}  // namespace spikegpt::test
