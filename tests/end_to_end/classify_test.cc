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

// Divisions of the texts that cannot be made are refused before anything is trained, and nothing is left behind.
TEST_F(ClassifyTest, ImpossibleFoldsFractionsAndSeedsAreRefused) {
  write("train.txt", sentences(30, 1));
  const auto refuses = [&](int status, const Args& more, const std::vector<std::string_view>& words) {
    SCOPED_TRACE(testing::PrintToString(more));
    expect_refused(run(train("m", more)), status, words);
    EXPECT_FALSE(std::filesystem::exists(at("m")));
  };
  refuses(1, {"--folds", "100"}, {"--folds 100", "train.txt has only 30 texts"});
  refuses(1, {"--folds", "31"}, {"--folds 31", "2 to 30"});
  refuses(1, {"--folds", "1"}, {"folds = 1", "0, or at least 2"});
  refuses(1, {"--folds", "-2"}, {"folds = -2"});
  refuses(2, {"--folds", "2.5"}, {"--folds"});
  refuses(2, {"--folds", "99999999999999999999"}, {"--folds"});
  refuses(1, {"--folds", "4", "--only-folds", "5"}, {"only_folds = 5"});
  refuses(1, {"--only-folds", "1"}, {"only_folds = 1"});
  for (const char* fraction : {"1", "-0.1", "1.5"}) refuses(1, {"--dev-fraction", fraction}, {"dev_fraction"});
  for (const char* fraction : {"nan", "inf", "half"}) refuses(2, {"--dev-fraction", fraction}, {"--dev-fraction"});
  refuses(1, {"--dev-fraction", "0.999999999999999999"}, {"dev_fraction"});
  refuses(1, {"--dev-fraction", "0", "--patience", "3"}, {"--patience 3", "--dev"});
  refuses(1, {"--seeds", "1", "2", "1"}, {"--seeds has 1 twice"});
  refuses(2, {"--seeds", "-1"}, {"--seeds"});
  refuses(2, {"--seeds", "1.5"}, {"--seeds"});
  refuses(2, {"--seeds", "99999999999999999999"}, {"--seeds"});
  refuses(2, {"--seeds"}, {"--seeds"});
  write("two.txt", "0 a dull one\n1 a fine one\n");
  Args few = train("m", {"--folds", "2", "--dev-fraction", "0.9"});
  few[4] = "two.txt";
  expect_success(run(few));  // one to learn from, none to choose the epoch
}

TEST_F(ClassifyTest, WithoutADevelopmentSetThereIsNoScoreOfIt) {
  write("train.txt", sentences(30, 1));
  const ProgramResult result = run(train("m", {"--dev-fraction", "0"}));
  expect_success(result);
  EXPECT_EQ(result.out.find("dev"), std::string::npos) << result.out;
  EXPECT_FALSE(Json::parse(read("m/results.json")).at("runs").at(0).contains("dev"));
}

// However its lines end, and with a byte-order mark, a text is the same to the classifier.
TEST_F(ClassifyTest, PredictionsDoNotDependOnLineEnds) {
  expect_success(run(train("model")));
  const auto predicted = [&](const std::string& input) {
    const ProgramResult by_pipe = run_with_input({"classify", "predict", "model", "--data", "-"}, input);
    expect_success(by_pipe);
    write("lines.txt", input);
    EXPECT_EQ(run({"classify", "predict", "model", "--data", "lines.txt"}).out, by_pipe.out);
    return by_pipe.out;
  };
  const std::string expected = predicted("a fine film\n\na sad end\n");
  ASSERT_EQ(lines_of(expected).size(), 3u);
  EXPECT_EQ(expected.find('\r'), std::string::npos);
  EXPECT_EQ(predicted("a fine film\r\n\r\na sad end\r\n"), expected);
  EXPECT_EQ(predicted("\xEF\xBB\xBF" "a fine film\r\n\r\na sad end"), expected);
  std::string wide = "\xFF\xFE";
  for (const char c : std::string("a fine film\r\n\r\na sad end\r\n")) wide += {c, '\0'};
  EXPECT_EQ(predicted(wide), expected);
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
