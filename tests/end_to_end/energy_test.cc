// The program's account of a model's energy.
#include <gtest/gtest.h>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class EnergyTest : public SmallRuns {
 protected:
  Json energy(const std::string& model, const Args& more = {}) const {
    Args args = {"energy", model, "--data", "text.txt", "--json", "--max-tokens", "500"};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramResult result = run(args);
    expect_success(result);
    return Json::parse(result.out);
  }
};

TEST_F(EnergyTest, AllAccountsAreReported) {
  for (const std::string arch : {"spikegpt", "rwkv", "event"}) {
    make_model(arch, {"--steps", "10", "--arch", arch, "--eval-every", "0"});
    const Json json = energy(arch);
    EXPECT_EQ(json.at("tokens"), 500);
    EXPECT_EQ(json.at("layers").size(), 2u) << "one layer and the head";
    const auto joules = [&](const char* account) {
      return json.at("per_token").at(account).at("products").at("joules").get<double>();
    };
    EXPECT_GT(joules("twin"), 0.0);
    EXPECT_LT(joules("needed"), joules("twin"));
    // 16 channels: 13 C^2 in the block, 15 C in the head.
    EXPECT_DOUBLE_EQ(json.at("per_token").at("twin").at("products").at("macs").get<double>(), 13 * 256 + 15 * 16);
    const ProgramResult table = run({"energy", arch, "--data", "text.txt", "--max-tokens", "500", "--layers"});
    expect_success(table);
    expect_words(table.out,
                 {"(a) non-spiking twin", "(b) the paper's way", "(c) what it needs", "Transformer", "head"});
  }
}

TEST_F(EnergyTest, PricesMayBeTheUsersOwn) {
  make_model("model", {"--steps", "4", "--arch", "event"});
  const double usual = energy("model").at("per_token").at("twin").at("products").at("joules").get<double>();
  const Json prices = {{"name", "mine"}, {"source", "a guess"}, {"mac", 9.2},    {"accumulate", 1},
                       {"multiply", 1},  {"exponential", 1},    {"division", 1}, {"byte", 1}};
  write("prices.json", prices.dump());
  const double mine =
      energy("model", {"--table", "prices.json"}).at("per_token").at("twin").at("products").at("joules").get<double>();
  EXPECT_NEAR(mine, 2.0 * usual, 1e-9 * usual);
  Json lacking = prices;
  lacking.erase("mac");
  write("lacking.json", lacking.dump());
  const auto refuses = [&](const std::string& table, const std::vector<std::string_view>& words) {
    expect_refused(run({"energy", "model", "--data", "text.txt", "--table", table}), 1, words);
  };
  refuses("lacking.json", {"lacking.json", "\"mac\" is missing"});
  Json negative = prices;
  negative["byte"] = -1;
  write("negative.json", negative.dump());
  refuses("negative.json", {"byte = -1", "0 or more"});
  write("broken.json", "{");
  refuses("broken.json", {"broken.json", "JSON object"});
  refuses("3nm", {"no table of prices \"3nm\"", "45nm, 7nm, fpga"});
  expect_refused(run({"energy", "none", "--data", "text.txt"}), 1, {"none is not a model folder"});
}

}  // namespace
}  // namespace spikegpt::test
