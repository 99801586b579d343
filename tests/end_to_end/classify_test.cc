// Training, measuring and using a classifier.
#include <gtest/gtest.h>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ClassifyTest : public SmallRuns {
 protected:
  void SetUp() override {
    write("train.txt", sentences(160, 1));
    write("test.txt", sentences(60, 2));
  }
  // Cheerful and gloomy sentences.
  static std::string sentences(int count, std::uint32_t state) {
    constexpr const char* kWords[2][3] = {{"dull", "bad", "sad"}, {"fine", "good", "glad"}};
    std::string text;
    for (int i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      const int label = (state >> 20) % 2;
      text += std::to_string(label);
      for (int w = 0; w < 2 + i % 3; ++w) text += std::string(" a ") + kWords[label][(state >> (8 + w)) % 3];
      text += "\n";
    }
    return text;
  }
  static Args train(const std::string& out, const Args& more = {}) {
    Args args = {"classify", "train",    out, "--data", "train.txt", "--n-layer",    "1", "--n-embd", "16", "--ctx-len",
                 "64",       "--epochs", "6", "--lr",   "0.01",      "--batch-size", "8"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
};

TEST_F(ClassifyTest, TrainEvalPredict) {
  const ProgramResult trained = run(train("model", {"--test", "test.txt", "--arch", "event"}));
  expect_success(trained);
  expect_words(trained.out, {"160 texts, 2 classes", "dev", "test", "accuracy", "results.json"});
  const ProgramResult measured = run({"classify", "eval", "model", "--data", "test.txt", "--json"});
  expect_success(measured);
  const Json json = Json::parse(measured.out);
  EXPECT_GT(json.at("accuracy").get<double>(), 0.95);
  EXPECT_EQ(json.at("texts"), 60);
  const Json results = Json::parse(read("model/results.json"));
  EXPECT_NEAR(results.at("runs").at(0).at("test").at("accuracy").get<double>(), json.at("accuracy").get<double>(),
              0.04);
  const ProgramResult predicted =
      run_with_input({"classify", "predict", "model", "--data", "-"}, "a good a fine\n\na sad a dull\n");
  expect_success(predicted);
  const auto lines = lines_of(predicted.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].starts_with("1\t0.")) << lines[0];
  EXPECT_EQ(lines[1], "");
  EXPECT_TRUE(lines[2].starts_with("0\t")) << lines[2];
  expect_words(run({"classify", "eval", "model", "--data", "test.txt"}).out, {"60 texts", "macro-F1", "is \\ found"});
}

TEST_F(ClassifyTest, FoldsResumeAndUsePreTrainedModels) {
  make_model("base", {"--steps", "5", "--eval-every", "0", "--arch", "rwkv", "--tokenizer", "bytes"});
  const auto folds = [&](const Args& more) {
    Args args = {"classify", "train", "cv",       "--data", "train.txt", "--from", "base",
                 "--folds",  "4",     "--epochs", "1",      "--ctx-len", "64"};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  };
  expect_success(folds({"--only-folds", "2"}));
  const Json first = Json::parse(read("cv/results.json")).at("runs");
  ASSERT_EQ(first.size(), 2u);
  std::int64_t tested = 0;
  for (const Json& row : first[0].at("test").at("confusion")) {
    for (const Json& count : row) tested += count.get<std::int64_t>();
  }
  EXPECT_EQ(tested, 40);
  expect_success(folds({}));
  const Json all = Json::parse(read("cv/results.json")).at("runs");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0], first[0]) << "what is done is not done again";
  expect_refused(folds({"--lr", "0.5"}), 1, {"cv/results.json", "settings", "another folder"});
}

TEST_F(ClassifyTest, BadInputIsNamed) {
  write("one.txt", "1 good\n1 fine\n");
  write("other.txt", "2 good\n");
  write("broken.txt", "1 good\nbad\n");
  const auto refuses = [&](const Args& args, const std::vector<std::string_view>& words) {
    expect_refused(run(args), 1, words);
  };
  refuses({"classify", "train", "m", "--data", "one.txt"}, {"one.txt has one label only", "1"});
  refuses({"classify", "train", "m", "--data", "broken.txt"}, {"broken.txt, line 2", "expected a label"});
  refuses({"classify", "train", "m", "--data", "none.txt"}, {"none.txt", "No such file"});
  refuses(train("m", {"--dev", "other.txt"}), {"other.txt", "label \"2\" is none of 0, 1"});
  refuses(train("m", {"--pooling", "max"}), {"pooling = \"max\""});
  refuses(train("m", {"--folds", "1"}), {"folds = 1"});
  refuses(train("m", {"--tokenizer", "words"}), {"words"});
  make_model("lm");
  refuses({"classify", "eval", "lm", "--data", "train.txt"}, {"lm is not a classifier", "classify train"});
  expect_refused(run({"classify", "guess", "m", "--data", "train.txt"}), 2, {"guess"});
}

}  // namespace
}  // namespace spikegpt::test
