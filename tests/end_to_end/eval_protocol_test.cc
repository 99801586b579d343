// What eval measures beside bits per token: overlapping windows, words, places, several models and texts.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class EvalProtocolTest : public SmallRuns {
 protected:
  void SetUp() override { make_model("model", {"--steps", "60", "--lr", "0.01", "--eval-every", "0"}); }

  Json eval(const Args& more) const {
    Args args = {"eval", "model", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramResult result = run(args);
    expect_success(result);
    return Json::parse(result.out);
  }
  static double loss(const Json& json, const char* how) { return json.at(how).at("loss").get<double>(); }
};

TEST_F(EvalProtocolTest, OverlappingWindowsPredictEveryTokenOnce) {
  write("short.txt", small_text(40));
  const auto size = static_cast<std::int64_t>(small_text(40).size());
  const Json whole = eval({"--data", "short.txt", "--stride", "16"});
  EXPECT_EQ(whole.at("sliding").at("tokens"), size - 1);
  // By hand: token i behind the (up to) 16 before it, one window each; --logprobs gives the last of each.
  const std::string text = small_text(40);
  double sum = 0.0;
  for (std::int64_t end = 1; end < size; ++end) {
    const std::int64_t first = std::max<std::int64_t>(0, end - 16);
    if (first == 0) continue;  // the first window counts whole
    write("piece.txt", text.substr(static_cast<std::size_t>(first), static_cast<std::size_t>(end - first + 1)));
    const ProgramResult scored =
        run({"generate", "model", "--prompt-file", "piece.txt", "--tokens", "0", "--logprobs", "0", "--quiet"});
    sum -= Json::parse(lines_of(scored.out).back()).at("logprob").get<double>();
    if (end > 60) break;  // enough processes
  }
  write("start.txt", text.substr(0, 62));
  write("first.txt", text.substr(0, 17));
  const double first_window = 16.0 * loss(eval({"--data", "first.txt"}), "windows");
  const Json sliding = eval({"--data", "start.txt", "--stride", "1"});
  EXPECT_EQ(sliding.at("sliding").at("tokens"), 61);
  EXPECT_NEAR(loss(sliding, "sliding"), (first_window + sum) / 61.0, 1e-4);
  for (const char* stride : {"1", "5", "16"}) {
    EXPECT_EQ(eval({"--data", "short.txt", "--stride", stride}).at("sliding").at("tokens"), size - 1) << stride;
    EXPECT_EQ(eval({"--data", "short.txt", "--stride", stride, "--max-tokens", "50"}).at("sliding").at("tokens"), 50);
  }
  EXPECT_NEAR(loss(eval({"--data", "short.txt", "--stride", "3", "--batch-size", "1"}), "sliding"),
              loss(eval({"--data", "short.txt", "--stride", "3", "--batch-size", "7"}), "sliding"), 1e-6);
  expect_refused(run({"eval", "model", "--data", "short.txt", "--stride", "17"}), 1, {"--stride 17", "windows of 16"});
}

TEST_F(EvalProtocolTest, PerplexityPerWordCountsWordsAndLineEnds) {
  write("words.txt", "the cat sat\non a mat see.\n");
  const Json json = eval({"--data", "words.txt", "--words"});
  // The first "t" is not predicted, but the rest of its word is.
  EXPECT_EQ(json.at("words"), 7 + 2);
  const double nats = loss(json, "carried") * json.at("carried").at("tokens").get<double>();
  EXPECT_NEAR(json.at("carried").at("word_perplexity").get<double>(), std::exp(nats / 9.0),
              1e-9 * std::exp(nats / 9.0));
}

TEST_F(EvalProtocolTest, LossByPlaceAveragesToTheLoss) {
  write("even.txt", small_text(100).substr(0, 16 * 20 + 1));
  const Json json = eval({"--data", "even.txt", "--per-position"});
  const auto losses = json.at("loss_by_position").get<std::vector<double>>();
  ASSERT_EQ(losses.size(), 16u);
  double mean = 0.0;
  for (const double loss : losses) mean += loss / 16.0;
  EXPECT_NEAR(mean, loss(json, "windows"), 1e-9);
  EXPECT_GT(losses[0], losses[15]) << "a window starts without memory";
  const ProgramResult table = run({"eval", "model", "--data", "even.txt", "--per-position"});
  expect_words(table.out, {"place in the window", "8 to 15"});
}

TEST_F(EvalProtocolTest, SeveralModelsAndTextsMakeATable) {
  make_model("other", {"--steps", "2", "--arch", "rwkv", "--eval-every", "0"});
  write("more.txt", small_text(50));
  const Args both = {"eval", "model", "other", "--data", "text.txt", "more.txt", "--words", "--stride", "8"};
  const ProgramResult table = run(both);
  expect_success(table);
  EXPECT_EQ(lines_of(table.out).size(), 6u) << table.out;
  Args as_json = both;
  as_json.push_back("--json");
  const Json all = Json::parse(run(as_json).out);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[1].at("model"), "model");
  EXPECT_EQ(all[1].at("data"), "more.txt");
  EXPECT_EQ(all[1].at("windows"), eval({"--data", "more.txt", "--words"}).at("windows"));
}

}  // namespace
}  // namespace spikegpt::test
