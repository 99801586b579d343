// A text that was saved goes on exactly where it stopped; prompts from pipes, and prompts that end inside a
// character.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ContinueTest : public SmallRuns {
 protected:
  void SetUp() override { make_model("model", {"--steps", "30", "--lr", "0.01"}); }

  Args args(const Args& more) const {
    Args args = {"generate", "model", "--quiet"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // What is written, without the line break at its end.
  std::string generate(const Args& more, const std::string& input = "") const {
    const ProgramResult result = run_with_input(args(more), input);
    expect_success(result);
    EXPECT_EQ(result.err, "");
    EXPECT_TRUE(result.out.ends_with("\n"));
    return result.out.substr(0, result.out.size() - 1);
  }
  static Args joined(Args a, const Args& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  static std::string bytes_text() {
    std::string text;
    for (int i = 0; i < 600; ++i) text += i % 3 == 0 ? "\uAC15" : i % 3 == 1 ? "\u00E9" : "a";
    return text;
  }
};

TEST_F(ContinueTest, TwoPartsAreTheWhole) {
  for (const Args& settings :
       {Args{"--temperature", "0"}, Args{"--seed", "7"},
        Args{"--seed", "7", "--repetition-penalty", "1.5", "--repetition-window", "9"}}) {
    const Args first = joined({"--prompt", "the cat"}, settings);
    const std::string whole = generate(joined(first, {"--tokens", "40"}));
    for (const char* cut : {"0", "1", "13"}) {
      const std::string part = generate(joined(first, {"--tokens", cut, "--save-state", "s"}));
      const std::string rest = std::to_string(40 - std::stoi(cut));
      EXPECT_EQ(part + generate({"--load-state", "s", "--tokens", rest}), whole) << "the state's settings";
      EXPECT_EQ(part + generate(joined({"--load-state", "s", "--tokens", rest}, settings)), whole)
          << "given again";
    }
  }
}

TEST_F(ContinueTest, SettingsGivenAnewCount) {
  const std::string part =
      generate({"--prompt", "the cat", "--seed", "7", "--tokens", "10", "--save-state", "s"});
  const auto rest = [&](const Args& more) {
    return generate(joined({"--load-state", "s", "--tokens", "60"}, more));
  };
  EXPECT_NE(rest({"--seed", "8"}), rest({}));
  EXPECT_EQ(rest({"--temperature", "0", "--seed", "8"}), rest({"--temperature", "0"}));
  EXPECT_NE(rest({"--temperature", "0"}), rest({}));
}

TEST_F(ContinueTest, LogProbabilitiesGoOn) {
  const Args settings = {"--prompt", "the cat", "--seed", "3", "--logprobs", "2"};
  const std::string whole = generate(joined(settings, {"--tokens", "12"}));
  const std::string part = generate(joined(settings, {"--tokens", "5", "--save-state", "s"}));
  EXPECT_EQ(part + "\n" + generate({"--load-state", "s", "--logprobs", "2", "--tokens", "7"}), whole);
  // A prompt behind a text is foretold by it.
  const auto lines =
      lines_of(generate({"--load-state", "s", "--logprobs", "0", "--tokens", "0", "--prompt", "dog"}));
  ASSERT_EQ(lines.size(), 3u);
  for (const std::string& line : lines) EXPECT_FALSE(Json::parse(line).at("logprob").is_null());
}

TEST_F(ContinueTest, APromptBehindAStateIsReadBehindItsLastToken) {
  // Greedy text and prompt read in one go give the same as in two.
  const Args greedy = {"--temperature", "0"};
  const std::string part =
      generate(joined({"--prompt", "the cat", "--tokens", "9", "--save-state", "s"}, greedy));
  const std::string two = generate({"--load-state", "s", "--prompt", " the dog", "--tokens", "20"});
  EXPECT_TRUE(two.starts_with(" the dog"));
  EXPECT_EQ(part + two, generate(joined({"--prompt", part + " the dog", "--tokens", "20"}, greedy)));
}

TEST_F(ContinueTest, AStopTextOverTheCut) {
  const Args first = {"--prompt", "the ", "--seed", "5"};
  const std::string text = generate(joined(first, {"--tokens", "40"}));
  const std::string stop = text.substr(16, 4);
  const std::string whole = generate(joined(first, {"--tokens", "40", "--stop", stop}));
  ASSERT_LT(whole.size(), text.size());
  for (const char* cut : {"11", "12", "13", "14", "15"}) {
    const std::string part = generate(joined(first, {"--tokens", cut, "--stop", stop, "--save-state", "s"}));
    const std::string rest = std::to_string(40 - std::stoi(cut));
    EXPECT_EQ(part + generate(joined({"--load-state", "s", "--tokens", rest}, {"--stop", stop})), whole)
        << cut;
  }
  // It has ended: says so, and goes on when told to.
  generate(joined(first, {"--tokens", "40", "--stop", stop, "--save-state", "s"}));
  const ProgramResult ended = run_with_input(args({"--load-state", "s", "--tokens", "5"}), "");
  expect_success(ended);
  EXPECT_EQ(ended.out, "\n");
  expect_words(ended.err, {"the text in s has ended", "--stop"});
  EXPECT_TRUE(generate({"--load-state", "s", "--tokens", "9", "--stop", "never met"}).starts_with(stop));
}

TEST_F(ContinueTest, CtrlCWhileThePromptIsRead) {
  write("long.txt", small_text(400000));  // seconds of reading
  const Args settings = {"--prompt-file", "long.txt", "--no-echo", "--seed", "3", "--tokens", "25"};
  // Where the signal comes before reading begins, nothing was read, and none is saved.
  for (int wait = 200; !std::filesystem::exists(at("s")) && wait < 30000; wait *= 2) {
    RunningProgram reader(args(joined(settings, {"--save-state", "s"})), here());
    std::this_thread::sleep_for(std::chrono::milliseconds(wait));
    ASSERT_FALSE(reader.has_ended());
    reader.send(SIGINT);
    const ProgramResult result = reader.wait();
    EXPECT_FALSE(result.timed_out);
    EXPECT_EQ(result.status, 130) << result.err;
    EXPECT_TRUE(result.out.empty() || result.out == "\n") << result.out;
  }
  {
    const WeightFile file = read_safetensors(at("s"));
    ASSERT_NE(file.find("pending"), nullptr);
    EXPECT_GT(element_count(*file.find("pending")), 1);
  }
  EXPECT_EQ(generate({"--load-state", "s", "--tokens", "25"}), generate(settings));
}

TEST_F(ContinueTest, CtrlCWhileATextIsWritten) {
  const Args settings = {"--prompt", "the cat", "--seed", "3"};
  RunningProgram writer(args(joined(settings, {"--tokens", "1000000000", "--save-state", "s"})), here());
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  writer.send(SIGINT);
  const ProgramResult result = writer.wait();
  EXPECT_EQ(result.status, 130) << result.err;
  const std::string part = result.out.substr(0, result.out.size() - 1);
  ASSERT_GT(part.size(), 7u);
  const std::string both = part + generate({"--load-state", "s", "--tokens", "30"});
  EXPECT_EQ(both, generate(joined(settings, {"--tokens", std::to_string(both.size() - 7)})));
}

TEST_F(ContinueTest, AStateOfTheFirstVersion) {
  generate({"--prompt", "the cat", "--tokens", "9", "--save-state", "s"});
  {
    const WeightFile file = read_safetensors(at("s"));
    std::map<std::string, std::string> metadata = file.metadata();
    for (const char* key : {"ended", "sampler", "random_counter", "unfinished_shown"}) metadata.erase(key);
    metadata["version"] = "1";
    std::vector<TensorView> tensors;
    for (const TensorView& tensor : file.tensors()) {
      if (tensor.dtype == DType::kF32) tensors.push_back(tensor);
    }
    write_safetensors(at("old"), metadata, tensors);
  }
  EXPECT_TRUE(generate({"--load-state", "old", "--prompt", " dog", "--tokens", "5"}).starts_with(" dog"));
  const ProgramResult alone = run_with_input(args({"--load-state", "old", "--tokens", "5"}), "");
  expect_success(alone);
  EXPECT_EQ(alone.out.size(), 6u);
  expect_words(alone.err, {"old", "earlier version", "last token"});
}

TEST_F(ContinueTest, PromptsComeFromPipes) {
  const std::string expected = generate({"--prompt", "the dog ", "--tokens", "20"});
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  RunningProgram reader(args({"--prompt-file", "pipe", "--tokens", "20"}), here());
  {
    std::ofstream pipe(at("pipe"));  // waits for the reader
    pipe << "the ";
    pipe.flush();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    pipe << "dog ";
  }
  EXPECT_EQ(reader.wait().out, expected + "\n");
  EXPECT_EQ(generate({"--prompt-file", "/dev/stdin", "--tokens", "20"}, "the dog "), expected);
  EXPECT_EQ(generate({"--prompt-file", "/dev/null", "--tokens", "20"}),
            generate({"--prompt", "", "--tokens", "20"}));
  ProgramOptions bash = here();
  bash.program = "bash";
  const std::string command =
      program_file().string() +
      " generate model --quiet --tokens 0 --prompt-file <(head -c 3000000 /dev/zero | "
      "tr '\\0' t) | wc -c";
  EXPECT_EQ(std::stoi(run_program({"-c", command}, bash).out), 3000001);
}

TEST_F(ContinueTest, CtrlCWhileAPipeIsWaitedFor) {
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  RunningProgram reader(args({"--prompt-file", "pipe"}), here());
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ASSERT_FALSE(reader.has_ended());
  reader.send(SIGINT);
  const ProgramResult result = reader.wait();
  EXPECT_EQ(result.status, 130) << result.err;
  expect_words(result.err, {"interrupted", "pipe"});
}

TEST_F(ContinueTest, AByteOrderMarkIsNoPartOfAPrompt) {
  const std::string expected = generate({"--prompt", "the dog ", "--tokens", "20"});
  write("marked.txt", "\xEF\xBB\xBFthe dog ");
  EXPECT_EQ(generate({"--prompt-file", "marked.txt", "--tokens", "20"}), expected);
  EXPECT_EQ(generate({"--tokens", "20"}, "\xEF\xBB\xBFthe dog "), expected);
}

TEST_F(ContinueTest, APromptThatEndsInsideACharacter) {
  write("bytes.txt", bytes_text());
  const ProgramResult trained =
      run({"train", "--data",   "bytes.txt", "--out",           "raw", "--tokenizer",  "bytes", "--n-layer",
           "1",     "--n-embd", "32",        "--ctx-len",       "16",  "--batch-size", "4",     "--lr",
           "0.01",  "--steps",  "150",       "--sample-tokens", "0"});
  expect_success(trained);
  const auto raw = [&](const Args& more, const std::string& input) {
    const ProgramResult result =
        run_with_input(joined({"generate", "raw", "--quiet", "--temperature", "0"}, more), input);
    expect_success(result);
    return result.out.substr(0, result.out.size() - 1);
  };
  const std::string prompt = "\uAC15\u00E9a\xEA\xB0";
  const std::string whole = raw({"--tokens", "40"}, prompt);
  EXPECT_TRUE(whole.starts_with("\uAC15\u00E9a\uAC15")) << "the character is completed";
  EXPECT_EQ(whole.find("\uFFFD"), std::string::npos);
  for (int cut = 0; cut < 12; ++cut) {
    const std::string part = raw({"--tokens", std::to_string(cut), "--save-state", "s"}, prompt);
    EXPECT_EQ(part + raw({"--load-state", "s", "--tokens", std::to_string(40 - cut)}, ""), whole) << cut;
  }
  write("half.txt", "\xEA");
  EXPECT_EQ(lines_of(raw({"--prompt-file", "half.txt", "--logprobs", "0", "--tokens", "1"}, "")).size(), 2u);
}

// A prompt is the same however its lines end, with a byte-order mark or in UTF-16, from a file, a pipe or a flag.
TEST_F(ContinueTest, APromptIsTheSameInEveryForm) {
  const auto text_of = [&](const std::string& content) {
    write("prompt.txt", content);
    const Args flags = {"generate", "model", "--tokens", "30", "--temperature", "0", "--quiet"};
    const ProgramResult from_file = run(joined(flags, {"--prompt-file", "prompt.txt"}));
    expect_success(from_file);
    EXPECT_EQ(from_file.err, "");
    EXPECT_EQ(run_with_input(flags, content).out, from_file.out) << "standard input";
    return from_file.out;
  };
  const std::string prompt = "the cat\nsat on\na ";
  const std::string expected = text_of(prompt);
  EXPECT_EQ(run({"generate", "model", "--tokens", "30", "--temperature", "0", "--quiet", "--prompt", prompt}).out,
            expected);
  EXPECT_EQ(text_of("the cat\r\nsat on\r\na "), expected);
  EXPECT_EQ(text_of("\xEF\xBB\xBF" "the cat\r\nsat on\r\na "), expected);
  std::string wide = "\xFF\xFE";
  for (const char c : std::string("the cat\r\nsat on\r\na ")) wide += {c, '\0'};
  EXPECT_EQ(text_of(wide), expected);
}

// Where the vocabulary is another model's.

TEST_F(ContinueTest, EveryCommandChecksTheVocabulary) {
  write("other.txt", small_text(300) + "0123456789XYZ\u00E9\u03A9");
  const ProgramResult trained =
      run({"train", "--data", "other.txt", "--out", "other", "--n-layer", "1", "--n-embd", "16", "--ctx-len",
           "16", "--batch-size", "2", "--steps", "2", "--valid-fraction", "0", "--sample-tokens", "0"});
  expect_success(trained);
  std::filesystem::copy_file(at("other/vocab.json"), at("model/vocab.json"),
                             std::filesystem::copy_options::overwrite_existing);
  for (const Args& command : std::initializer_list<Args>{
           {"eval", "model", "--data", "text.txt"},
           {"energy", "model", "--data", "text.txt"},
           {"spikes", "model", "--data", "text.txt"},
           {"check", "model", "--data", "text.txt"},
           {"trace", "model", "--prompt", "the", "--out", "t.safetensors"},
           {"trace", "model", "--tokens", "1,2", "--raster", "t.svg"},
           {"generate", "model", "--prompt", "the"},
           {"inspect", "model"},
           {"quantize", "model", "packed"},
           {"bench", "decode", "--model", "model", "--data", "text.txt"},
           {"convert", "model/model.safetensors", "converted", "--tokenizer", "other/vocab.json"}}) {
    SCOPED_TRACE(command[0]);
    expect_refused(run(command), 1, {"the tokenizer has", "tokens, the model's vocabulary"});
  }
  EXPECT_FALSE(std::filesystem::exists(at("packed")));
  expect_stopped(run(train_args("further", {"--from", "model", "--steps", "1"})), {"the tokenizer has"});
  write("labelled.txt", "good the cat\nbad the dog\ngood a mat\nbad a red dog\n");
  expect_stopped(
      run({"classify", "train", "judge", "--data", "labelled.txt", "--from", "model", "--epochs", "1"}),
      {"the tokenizer has"});
}

// Unknown characters are reported for the part of the text where they are.

TEST_F(ContinueTest, UnknownCharactersOfTheTrainingText) {
  std::string text = small_text(300);
  text.resize(1000);
  const auto err_of = [&](const std::string& content, const char* name) {
    write("odd.txt", content);
    const ProgramResult result = run({"train",
                                      "--data",
                                      "odd.txt",
                                      "--out",
                                      name,
                                      "--tokenizer",
                                      "model/vocab.json",
                                      "--n-layer",
                                      "1",
                                      "--n-embd",
                                      "16",
                                      "--ctx-len",
                                      "16",
                                      "--batch-size",
                                      "2",
                                      "--steps",
                                      "1",
                                      "--valid-fraction",
                                      "0.1",
                                      "--sample-tokens",
                                      "0"});
    expect_success(result);
    return result.err;
  };
  std::string odd = text;
  odd.replace(899, 1, "Q");
  const std::string learn = err_of(odd, "a");
  expect_words(learn, {"the text to learn from has 1 unknown character, for example 'Q' (U+0051) at line ",
                       "replaced by \" \""});
  EXPECT_EQ(learn.find("held-out"), std::string::npos);
  odd = text;
  odd.replace(900, 1, "Q");
  const std::string held_out = err_of(odd, "b");
  expect_words(held_out, {"the held-out text has 1 unknown character"});
  EXPECT_EQ(held_out.find("learn from"), std::string::npos);
}

TEST_F(ContinueTest, UnknownCharactersOfThePartThatIsRead) {
  write("odd.txt", "the cat \u00E9 the dog \u03A9 the mat\n");
  const auto err_of = [&](const char* command, const char* tokens) {
    const char* flag = std::string(command) == "check" ? "--tokens" : "--max-tokens";
    const ProgramResult result = run({command, "model", "--data", "odd.txt", flag, tokens});
    expect_success(result);
    return result.err;
  };
  EXPECT_EQ(err_of("eval", "7").find("unknown"), std::string::npos);  // reads 8 characters, one to begin with
  expect_words(err_of("eval", "8"),
               {"odd.txt", "first 9 characters", "1 unknown character, for example '\u00E9'"});
  expect_words(err_of("eval", "0"), {"odd.txt has 2 unknown characters"});
  for (const char* command : {"energy", "spikes", "check"}) {
    EXPECT_EQ(err_of(command, "8").find("unknown"), std::string::npos) << command;
    expect_words(err_of(command, "9"), {"odd.txt", "first 9 characters", "1 unknown character"});
  }
}

// Every command that reads text says the same of what the vocabulary lacks, once, with its place.
TEST_F(ContinueTest, UnknownCharactersAreToldByEveryCommand) {
  write("odd.txt", "the cat sat\non a \u00E9 mat and the dog ran to see the red cat\n");
  write("labelled.txt", "good the cat\nbad the \u00E9 dog\ngood a mat\nbad a red dog\n");
  expect_success(
      run({"classify", "train", "judge", "--data", "labelled.txt", "--from", "model", "--epochs", "1"}));
  const std::string in_text = "1 unknown character, for example '\u00E9' (U+00E9) at line 2, column 6";
  const std::string in_line =
      "1 unknown character, for example '\u00E9' (U+00E9) at line 2, character 5 of the text";
  const std::string in_prompt = "1 unknown character, for example '\u00E9' (U+00E9) at line 1, column 5";
  const std::vector<std::pair<Args, std::string>> commands = {
      {{"generate", "model", "--prompt", "the \u00E9", "--tokens", "2"}, in_prompt},
      {{"generate", "model", "--prompt-file", "odd.txt", "--tokens", "2"}, in_text},
      {{"trace", "model", "--prompt", "the \u00E9", "--out", "trace.safetensors"}, in_prompt},
      {{"eval", "model", "--data", "odd.txt"}, in_text},
      {{"energy", "model", "--data", "odd.txt"}, in_text},
      {{"spikes", "model", "--data", "odd.txt"}, in_text},
      {{"check", "model", "--data", "odd.txt"}, in_text},
      {{"tokenize", "model", "odd.txt"}, in_text},
      {{"tokenize", "model", "odd.txt", "--out", "odd"}, "(U+00E9) at odd.txt, line 2, column 6"},
      {{"classify", "eval", "judge", "--data", "labelled.txt"}, in_line},
      {{"classify", "predict", "judge", "--data", "odd.txt"}, "(U+00E9) at line 2, character 6 of the text"},
      {{"classify", "train", "again", "--data", "labelled.txt", "--from", "model", "--epochs", "1"}, in_line},
      {{"train", "--from", "model", "--data", "odd.txt", "--out", "further", "--steps", "1", "--ctx-len",
        "16"},
       in_text},
  };
  for (const auto& [command, words] : commands) {
    SCOPED_TRACE(command[0] + " " + command[1]);
    const ProgramResult result = run(command);
    expect_success(result);
    expect_words(result.err, {words});
    EXPECT_EQ(result.err.find("unknown"), result.err.rfind("unknown")) << result.err;
  }
}

}  // namespace
}  // namespace spikegpt::test
