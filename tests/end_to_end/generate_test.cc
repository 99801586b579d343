// A model that writes: what chooses the text, where the prompt comes from, and what goes where.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class GenerateTest : public SmallRuns {
 protected:
  void SetUp() override { make_model("model", {"--steps", "30", "--lr", "0.01"}); }

  ProgramResult generate(const Args& more, const std::string& input = "") const {
    Args args = {"generate", "model", "--quiet"};
    args.insert(args.end(), more.begin(), more.end());
    ProgramResult result = run_with_input(args, input);
    expect_success(result);
    return result;
  }
};

TEST_F(GenerateTest, TheSeedDecides) {
  const std::string first = generate({"--prompt", "the ", "--seed", "5"}).out;
  EXPECT_EQ(first.size(), 4u + 200u + 1u);  // 200 tokens unless told, and a line break at the end
  EXPECT_EQ(generate({"--prompt", "the ", "--seed", "5"}).out, first);
  EXPECT_NE(generate({"--prompt", "the ", "--seed", "6"}).out, first);
}

TEST_F(GenerateTest, TemperatureZeroAndTopOneAlwaysTakeTheLikeliest) {
  const std::string likeliest = generate({"--prompt", "the ", "--temperature", "0", "--seed", "1"}).out;
  EXPECT_EQ(generate({"--prompt", "the ", "--temperature", "0", "--seed", "2"}).out, likeliest);
  EXPECT_EQ(generate({"--prompt", "the ", "--top-k", "1", "--seed", "3"}).out, likeliest);
  EXPECT_EQ(generate({"--prompt", "the ", "--top-p", "1e-9", "--seed", "4"}).out, likeliest);
}

TEST_F(GenerateTest, NumberOfTokens) {
  EXPECT_EQ(generate({"--prompt", "the", "--tokens", "0"}).out, "the\n");
  EXPECT_EQ(generate({"--prompt", "the", "--tokens", "1"}).out.size(), 5u);
  const std::string longer = generate({"--prompt", "the", "--tokens", "700"}).out;
  EXPECT_EQ(longer.size(), 704u);
  EXPECT_TRUE(longer.starts_with(generate({"--prompt", "the", "--tokens", "99"}).out.substr(0, 102)));
}

TEST_F(GenerateTest, LogProbabilitiesAreThoseThatEvalAddsUp) {
  const std::string text = small_text(180);  // longer than one chunk
  ASSERT_GT(text.size(), 600u);
  write("score.txt", text);
  const ProgramResult scored = generate({"--prompt-file", "score.txt", "--logprobs", "3", "--tokens", "2"});
  const auto lines = lines_of(scored.out);
  ASSERT_EQ(lines.size(), text.size() + 2);
  double sum = 0.0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Json line = Json::parse(lines[i]);
    EXPECT_EQ(line.at("prompt").get<bool>(), i < text.size());
    if (i >= text.size()) continue;
    EXPECT_EQ(line.at("text").get<std::string>(), text.substr(i, 1));
    EXPECT_EQ(line.at("logprob").is_null(), i == 0);
    if (i == 0) continue;
    sum += line.at("logprob").get<double>();
    ASSERT_EQ(line.at("top").size(), 3u);
    EXPECT_GE(line.at("top")[0].at("logprob").get<double>(), line.at("logprob").get<double>());
  }
  const ProgramResult eval = run({"eval", "model", "--data", "score.txt", "--json"});
  expect_success(eval);
  const double loss = Json::parse(eval.out).at("carried").at("loss").get<double>();
  EXPECT_NEAR(-sum / static_cast<double>(text.size() - 1), loss, 1e-4);
  EXPECT_EQ(lines_of(generate({"--prompt", "the", "--logprobs", "0", "--tokens", "5", "--no-echo"}).out).size(), 5u);
  expect_refused(run({"generate", "model", "--logprobs", "-4"}), 2, {"--logprobs"});
}

TEST_F(GenerateTest, RepetitionPenaltyChangesTheText) {
  const Args plain = {"--prompt", "the ", "--temperature", "0"};
  Args penalised = plain;
  penalised.insert(penalised.end(), {"--repetition-penalty", "5", "--repetition-window", "10"});
  EXPECT_NE(generate(plain).out, generate(penalised).out);
}

TEST_F(GenerateTest, EndsBeforeAStopString) {
  const std::string whole = generate({"--prompt", "the ", "--no-echo", "--seed", "5"}).out;
  const std::string stop = whole.substr(10, 3);
  const std::string expected = whole.substr(0, whole.find(stop)) + "\n";
  EXPECT_EQ(generate({"--prompt", "the ", "--no-echo", "--seed", "5", "--stop", stop}).out, expected);
  EXPECT_EQ(generate({"--prompt", "the ", "--no-echo", "--seed", "5", "--stop", "Q", "--stop", stop}).out, expected);
  EXPECT_EQ(generate({"--prompt", "the ", "--no-echo", "--seed", "5", "--stop", "Q"}).out, whole);
}

TEST_F(GenerateTest, ThePromptComesFromWhereItIsTold) {
  write("prompt.txt", "the dog ");
  const std::string expected = generate({"--prompt", "the dog ", "--tokens", "20"}).out;
  EXPECT_EQ(generate({"--prompt-file", "prompt.txt", "--tokens", "20"}).out, expected);
  EXPECT_EQ(generate({"--prompt-file", "-", "--tokens", "20"}, "the dog ").out, expected);
  EXPECT_EQ(generate({"--tokens", "20"}, "the dog ").out, expected);
  EXPECT_EQ(generate({"--prompt", "the dog ", "--tokens", "20"}, "not read").out, expected);
  EXPECT_TRUE(expected.starts_with("the dog "));
  EXPECT_EQ("the dog " + generate({"--prompt", "the dog ", "--tokens", "20", "--no-echo"}).out, expected);
}

TEST_F(GenerateTest, APromptLongerThanTheTrainingWindow) {
  const std::string prompt = small_text(400);  // far beyond ctx_len = 16 and beyond one chunk of reading
  const ProgramResult result = generate({"--tokens", "5"}, prompt);
  EXPECT_TRUE(result.out.starts_with(prompt));
  EXPECT_EQ(result.out.size(), prompt.size() + 6);
}

TEST_F(GenerateTest, WithoutAPromptItBeginsByItself) {
  const std::string text = generate({"--tokens", "10"}).out;
  EXPECT_EQ(text.size(), 11u);
  EXPECT_EQ(generate({"--prompt", "", "--tokens", "10"}, "not read").out, text);
  EXPECT_EQ(generate({"--tokens", "10"}).err, "");
}

TEST_F(GenerateTest, WithoutAPromptAVocabularyThatLacksTheLineBreakIsNoFault) {
  std::string line = small_text(900);
  std::replace(line.begin(), line.end(), '\n', ' ');
  write("line.txt", line);
  const ProgramResult trained = run({"train", "--data", "line.txt", "--out", "other", "--n-layer", "1", "--n-embd",
                                     "16", "--ctx-len", "16", "--batch-size", "2", "--steps", "2"});
  expect_success(trained);
  const ProgramResult result = run({"generate", "other", "--quiet", "--tokens", "10"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
}

TEST_F(GenerateTest, UnknownCharactersAreReportedAndReplaced) {
  const ProgramResult result = generate({"--prompt", "the Ωé cat ", "--tokens", "5", "--seed", "9"});
  EXPECT_TRUE(result.out.starts_with("the Ωé cat "));
  expect_words(result.err, {"spikegpt: ", "2 unknown characters", "U+03A9", "U+00E9", "replaced by \" \""});
  EXPECT_EQ(lines_of(result.err).size(), 1u);
  const std::string known = generate({"--prompt", "the    cat ", "--tokens", "5", "--seed", "9", "--no-echo"}).out;
  EXPECT_EQ(known.size(), 6u);
  EXPECT_EQ(generate({"--prompt", "the \xff cat", "--tokens", "5"}).status, 0);  // not even UTF-8
}

TEST_F(GenerateTest, UnknownCharactersCountAsTheStandIn) {
  const std::string unknown = generate({"--prompt", "the Ω cat ", "--tokens", "30", "--no-echo"}).out;
  EXPECT_EQ(generate({"--prompt", "the   cat ", "--tokens", "30", "--no-echo"}).out, unknown);
}

TEST_F(GenerateTest, OnlyTheTextGoesToStandardOutput) {
  const ProgramResult loud = run({"generate", "model", "--prompt", "the ", "--tokens", "20"});
  expect_success(loud);
  EXPECT_EQ(loud.out, generate({"--prompt", "the ", "--tokens", "20"}).out);
  expect_words(loud.err, {"4 characters read", "20 written", "firing"});
  EXPECT_EQ(lines_of(loud.err).size(), 1u);
}

TEST_F(GenerateTest, StopsAtASignal) {
  ProgramOptions options = here();
  RunningProgram writer({"generate", "model", "--prompt", "the ", "--tokens", "1000000000"}, options);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_FALSE(writer.has_ended());
  writer.send(SIGINT);
  const ProgramResult result = writer.wait();
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_TRUE(result.out.starts_with("the "));
  EXPECT_TRUE(result.out.ends_with("\n"));
}

TEST_F(GenerateTest, AVocabularyLargerThanTheTokenizersIsNeverSpokenBeyondIt) {
  write("large.toml", "vocab_size = 300\nprecision = \"f32\"\n");
  make_model("large", {"--steps", "1", "--config", "large.toml"});
  const ProgramResult result =
      run({"generate", "large", "--prompt", "the ", "--tokens", "300", "--top-p", "1", "--quiet"});
  expect_success(result);
  EXPECT_EQ(result.out.size(), 305u);
}

TEST_F(GenerateTest, BytesThatAreNoCharacterDoNotStopIt) {
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += static_cast<char>(i * 37 % 256);
  write("bytes.bin", bytes);
  const ProgramResult trained =
      run({"train", "--data", "bytes.bin", "--out", "raw", "--tokenizer", "bytes", "--n-layer", "1", "--n-embd", "16",
           "--ctx-len", "16", "--batch-size", "2", "--steps", "3"});
  expect_success(trained);
  expect_success(run({"generate", "raw", "--prompt", "\xc3\xa9\xff", "--tokens", "300", "--top-p", "1"}));
}

TEST_F(GenerateTest, ImpossibleValuesAreRefused) {
  struct Case {
    const char* flag;
    const char* value;
    int status;
    const char* expected;
  };
  for (const Case& bad : std::initializer_list<Case>{{"--top-p", "0", 1, "above 0, at most 1"},
                                                     {"--top-p", "1.5", 1, "above 0, at most 1"},
                                                     {"--top-p", "nan", 2, "a finite number"},
                                                     {"--temperature", "-1", 1, "0 to 100"},
                                                     {"--temperature", "nan", 2, "a finite number"},
                                                     {"--top-k", "-1", 1, "0 or more"},
                                                     {"--repetition-penalty", "0", 1, "positive"},
                                                     {"--repetition-window", "-5", 1, "0 or more"},
                                                     {"--tokens", "-1", 2, "0 to "},
                                                     {"--tokens", "many", 2, "many"},
                                                     {"--temperature", "warm", 2, "warm"}}) {
    const ProgramResult result = run({"generate", "model", "--prompt", "a", bad.flag, bad.value});
    std::string name(bad.flag + 2);
    if (bad.status == 1) std::replace(name.begin(), name.end(), '-', '_');
    expect_refused(result, bad.status, {name, bad.expected});
  }
  expect_refused(run({"generate", "model", "--prompt", "a", "--prompt-file", "text.txt"}), 1,
                 {"--prompt or --prompt-file"});
  expect_refused(run({"generate", "model", "--prompt-file", "none.txt"}), 1, {"none.txt", "No such file"});
  expect_refused(run({"generate", "model", "--prompt-file", "model"}), 1, {"model is a folder"});
}

}  // namespace
}  // namespace spikegpt::test
