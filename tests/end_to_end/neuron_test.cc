// Kinds of neurons as a user meets them: the command that shows one, flags and TOML that do not fit.
#include <gtest/gtest.h>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class NeuronTest : public SmallRuns {};

TEST_F(NeuronTest, OneIsShownAsNumbersAndAsAPicture) {
  write("current.txt", "2 0 2\n");
  const ProgramResult result = run({"neuron", "--kind", "if", "--current", "current.txt", "--v-threshold", "3"});
  expect_success(result);
  EXPECT_EQ(result.out,
            "if: integrate-and-fire: no leak\n"
            " token      current    potential    threshold   sent\n"
            "     0            2            2            3      0\n"
            "     1            0            2            3      0\n"
            "     2            2            4            3      1\n");
  expect_success(run({"neuron", "--kind", "all", "--plot", "all.svg"}));
  EXPECT_NE(read("all.svg").find("<svg"), std::string::npos);
  expect_success(run({"neuron", "--kind", "qif,alif", "--current", "noise", "--tokens", "9", "--plot", "all.svg"}));
}

TEST_F(NeuronTest, WhatDoesNotFitIsOneLine) {
  const auto refuses = [&](const Args& args, int status, const std::vector<std::string_view>& words) {
    Args all = {"neuron"};
    all.insert(all.end(), args.begin(), args.end());
    expect_refused(run(all), status, words);
  };
  refuses({"--kind", "lfi"}, 1, {"lfi", "izhikevich"});
  refuses({"--kind", "psn"}, 1, {"psn", "later steps", "sliding_psn"});
  refuses({"--kind", "lif", "--qif-a0", "2"}, 1, {"qif_a0", "no neuron of this model is a qif"});
  refuses({"--kind", "qif", "--qif-a0", "0"}, 1, {"qif_a0 = 0", "1e-06 to 100"});
  refuses({"--kind", "sliding_psn", "--psn-taps", "33"}, 1, {"psn_taps", "1 to 32"});
  refuses({"--kind", "if", "--tau", "3"}, 1, {"tau", "kind if"});
  refuses({"--current", "none.txt"}, 1, {"none.txt"});
  refuses({"--current", "step:tall"}, 1, {"tall", "not a number"});
  refuses({"--plot", "a.gif"}, 1, {"a.gif", ".svg or .png"});
  write("notes.svg", "mine");
  refuses({"--plot", "notes.svg"}, 1, {"notes.svg"});
  EXPECT_EQ(read("notes.svg"), "mine");
}

TEST_F(NeuronTest, KindsByPlaceAreCheckedBeforeTraining) {
  const auto refuses = [&](const Args& flags, const std::vector<std::string_view>& words) {
    expect_refused(run(train_args("model", flags)), 1, words);
  };
  refuses({"--neurons", "lif3=qif"}, {"lif3", "lif1, lif2"});
  refuses({"--neurons", "lif1=qiff"}, {"qiff", "qif"});
  refuses({"--neurons", "lif1"}, {"lif1", "name=value"});
  refuses({"--neuron", "lif", "--alif-beta", "0.5"}, {"alif_beta", "no neuron of this model is a alif"});
  write("run.toml", std::string("data = \"text.txt\"\nn_layer = 1\nneurons = { lif9 = \"qif\" }\n"));
  expect_refused(run({"train", "--config", "run.toml", "--out", "model"}), 1, {"lif9", "lif1, lif2"});
  write("run.toml", std::string("data = \"text.txt\"\nn_layer = 1\nneurons = \"qif\"\n"));
  expect_refused(run({"train", "--config", "run.toml", "--out", "model"}), 1, {"run.toml", "neurons"});
  EXPECT_FALSE(std::filesystem::exists(at("model")));
}

TEST_F(NeuronTest, AStateOfOtherNeuronsIsRefused) {
  make_model("model", {"--steps", "1", "--neuron", "alif"});
  make_model("other", {"--steps", "1", "--neuron", "qif"});
  expect_success(run({"generate", "model", "--prompt", "a", "--tokens", "2", "--save-state", "state"}));
  expect_refused(run({"generate", "other", "--load-state", "state", "--tokens", "2"}), 1,
                 {"state", "another model"});
}

}  // namespace
}  // namespace spikegpt::test
