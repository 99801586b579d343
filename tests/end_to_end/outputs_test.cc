// Nothing is destroyed, left half-made or lost: what stands where a result goes, and outputs that go away.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class OutputsTest : public SmallRuns {
 protected:
  // Runs a shell in the folder; $S is the program.
  ProgramResult shell(const std::string& command) const {
    ProgramOptions options = here();
    options.program = "bash";
    return run_program({"-c", "S='" + std::string(program_file()) + "'; " + command}, options);
  }
  bool wait_for(const std::string& name) const {
    for (int i = 0; i < 1000 && !std::filesystem::exists(at(name)); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return std::filesystem::exists(at(name));
  }
  // The command must leave what lies at `name` as it is.
  void expect_untouched(const std::string& name, const Args& args, const std::vector<std::string_view>& words) const {
    SCOPED_TRACE(args[0]);
    const std::string before = read(name);
    expect_refused(run(args), 1, words);
    EXPECT_EQ(read(name), before);
  }
};

TEST_F(OutputsTest, APipeIsRefusedByEveryCommandThatWritesAFile) {
  make_model("model");
  write("tokens.txt", "1 2 3");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(at("pipe.svg").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(at("pipe.bin").c_str(), 0600), 0);
  const std::vector<Args> commands = {
      {"generate", "model", "--prompt", "a", "--tokens", "2", "--save-state", "pipe"},
      {"trace", "model", "--prompt", "a", "--out", "pipe"},
      {"trace", "model", "--prompt", "a", "--raster", "pipe.svg"},
      {"report", "model", "--out", "pipe"},
      {"tokenizer", "train", "--data", "text.txt", "--vocab-size", "260", "--out", "pipe"},
      {"tokenize", "model", "text.txt", "--out", "pipe"},
  };
  for (const Args& args : commands) {
    SCOPED_TRACE(args[0]);
    expect_refused(run(args), 1, {"pipe", "not a regular file"});
  }
  for (const char* name : {"pipe", "pipe.svg", "pipe.bin"}) EXPECT_TRUE(std::filesystem::is_fifo(at(name))) << name;
}

TEST_F(OutputsTest, FilesOfAnotherKindAreKept) {
  make_model("model");
  write("notes.txt", "my notes");
  write("notes.svg", "<svg>my drawing</svg>");
  write("notes.bin", "my numbers");
  expect_untouched("notes.txt", {"trace", "model", "--prompt", "a", "--out", "notes.txt"}, {"notes.txt", "--force"});
  expect_untouched("notes.svg", {"trace", "model", "--prompt", "a", "--raster", "notes.svg"}, {"--force"});
  expect_untouched("notes.txt", {"report", "model", "--out", "notes.txt"}, {"--force"});
  expect_untouched("notes.bin", {"tokenize", "model", "text.txt", "--out", "notes"}, {"notes.bin", "--force"});
  expect_untouched("notes.txt", {"generate", "model", "--prompt", "a", "--save-state", "notes.txt"}, {"--force"});
  expect_untouched("notes.txt",
                   {"tokenizer", "train", "--data", "text.txt", "--vocab-size", "260", "--out", "notes.txt"},
                   {"--force"});
  // What the same command wrote is written anew; anything else for --force, but never a model.
  for (int i = 0; i < 2; ++i) {
    expect_success(
        run({"trace", "model", "--prompt", "a", "--out", "trace", "--raster", "a.svg", "--profile", "b.png"}));
    expect_success(run({"report", "model"}));
    expect_success(run({"generate", "model", "--prompt", "a", "--tokens", "2", "--save-state", "state"}));
    expect_success(run({"spikes", "model", "--data", "text.txt", "--max-tokens", "50", "--csv", "s", "--plot", "s"}));
  }
  expect_success(run({"trace", "model", "--prompt", "a", "--out", "notes.txt", "--force"}));
  expect_success(run({"tokenize", "model", "text.txt", "--out", "notes", "--force"}));
  for (const char* force : {"", "--force"}) {
    Args args = {"generate", "model", "--prompt", "a", "--save-state", "model/model.safetensors"};
    if (*force != 0) args.push_back(force);
    expect_untouched("model/model.safetensors", args, {"model.safetensors", "another name"});
  }
}

TEST_F(OutputsTest, FoldersThatHoldSomethingElseAreKept) {
  make_model("model");
  write("labels.txt", "1 a fine film\n0 a dull film\n1 fine\n0 dull\n");
  const Args small = {"--n-layer", "1", "--n-embd", "16", "--ctx-len", "16", "--epochs", "1"};
  Args classify = {"classify", "train", "model", "--data", "labels.txt"};
  classify.insert(classify.end(), small.begin(), small.end());
  expect_untouched("model/model.safetensors", classify, {"model already holds a model"});
  expect_untouched("model/config.json", {"convert", "model/model.safetensors", "model"}, {"already holds a model"});
  expect_untouched("model/config.json", {"quantize", "model", "model"}, {"already holds a model"});
  expect_untouched("model/config.json", train_args("model"), {"already holds a model", "--resume"});
  expect_untouched("model/train.json", {"compare", "--data", "text.txt", "--out", "model"}, {"already holds a model"});
  std::filesystem::create_directory(at("other"));
  write("other/tokenizer.json", "{\"my\": \"tokenizer\"}");
  for (const Args& args :
       {Args{"convert", "model/model.safetensors", "other"}, Args{"quantize", "model", "other"}, train_args("other")}) {
    expect_untouched("other/tokenizer.json", args, {"other already holds another tokenizer.json"});
  }
  // The classifier goes on in its own folder, and other files beside it do not matter.
  std::filesystem::create_directory(at("mine"));
  write("mine/log.txt", "a log");
  classify[2] = "mine";
  expect_success(run(classify));
  expect_success(run(classify));
  EXPECT_EQ(read("mine/log.txt"), "a log");
}

TEST_F(OutputsTest, NothingIsWrittenIntoAFolderOfTexts) {
  std::filesystem::create_directories(at("texts/deep"));
  write("texts/a.txt", small_text(1500));
  const auto train_on = [&](const char* out) {
    Args args = train_args(out);
    args[2] = "texts";
    return args;
  };
  for (const char* out : {"texts/run", "texts", "texts/deep/run", "texts/../texts/run"}) {
    expect_refused(run(train_on(out)), 1, {"inside texts"});
  }
  make_model("model");
  expect_refused(run({"tokenize", "model", "texts", "--out", "texts/all"}), 1, {"inside texts"});
  expect_refused(run({"tokenizer", "train", "--data", "texts", "--out", "texts/tokenizer.json"}), 1, {"inside texts"});
  expect_refused(run({"compare", "--data", "texts", "--out", "texts/compared"}), 1, {"inside texts"});
  EXPECT_EQ(content_of(at("texts")).size(), 1u);
  std::filesystem::create_directory(at("texts-run"));
  expect_success(run(train_on("texts-run")));
}

TEST_F(OutputsTest, ARunWhoseFolderIsDeletedSaysSo) {
  RunningProgram program(train_args("model", {"--steps", "1000000", "--eval-every", "0", "--save-every", "0"}), here());
  ASSERT_TRUE(wait_for("model/train.json"));
  std::filesystem::rename(at("model"), at("gone"));
  const ProgramResult result = program.wait();
  expect_stopped(result, {"model was deleted, moved or replaced"});
  EXPECT_FALSE(std::filesystem::exists(at("model")));
}

// Single files that somebody deletes during training are written again, with all they held.
TEST_F(OutputsTest, FilesDeletedDuringTrainingAreWrittenAgain) {
  RunningProgram program(
      train_args("model", {"--steps", "1000000", "--eval-every", "5", "--save-every", "5"}), here());
  const char* files[] = {
      "metrics.jsonl",          "config.json",      "train.json", "vocab.json", "model.safetensors",
      "best/model.safetensors", "best/config.json", "lock"};
  for (const char* name : files) ASSERT_TRUE(wait_for(std::string("model/") + name)) << name;
  for (const char* name : files) {
    std::filesystem::remove(at(std::string("model/") + name));
    EXPECT_TRUE(wait_for(std::string("model/") + name)) << name;
  }
  for (const std::string& name : checkpoints("model")) {
    std::error_code gone;  // the program removes old ones too
    if (name.ends_with(".safetensors")) std::filesystem::remove(at("model/checkpoints") / name, gone);
  }
  for (const auto& entry : std::filesystem::directory_iterator(at("model"))) {
    if (entry.path().filename().string().starts_with("events.out")) std::filesystem::remove(entry.path());
  }
  program.send(SIGINT);
  const ProgramResult result = program.wait();
  EXPECT_EQ(result.status, 130) << result.err;
  std::int64_t step = 0;
  for (const Json& line : metrics("model")) {
    if (!line.contains("loss")) continue;
    EXPECT_EQ(line.at("step").get<std::int64_t>(), ++step);
  }
  EXPECT_GT(step, 5);
  EXPECT_TRUE(std::filesystem::exists(at("model/checkpoints") / fmt::format("step-{:09}.safetensors", step)));
  expect_success(run({"generate", "model", "--prompt", "the", "--tokens", "3"}));
  expect_success(run({"train", "--out", "model", "--resume", "--steps", std::to_string(step + 2)}));
}

// Also when nothing is saved between the deletion and the end.
TEST_F(OutputsTest, FilesDeletedBeforeTheEndAreWrittenAgain) {
  RunningProgram program(
      train_args("model", {"--steps", "1000000", "--eval-every", "0", "--save-every", "0"}), here());
  for (const char* name : {"metrics.jsonl", "train.json", "vocab.json", "lock"}) {
    ASSERT_TRUE(wait_for(std::string("model/") + name)) << name;
  }
  for (const char* name : {"metrics.jsonl", "train.json", "vocab.json"}) {
    std::filesystem::remove(at(std::string("model/") + name));
  }
  program.send(SIGTERM);
  program.wait();
  for (const char* name : {"metrics.jsonl", "train.json", "vocab.json", "config.json", "model.safetensors"}) {
    EXPECT_TRUE(std::filesystem::exists(at(std::string("model/") + name))) << name;
  }
  expect_success(run({"generate", "model", "--prompt", "the", "--tokens", "3"}));
}

TEST_F(OutputsTest, ADeletedLockLetsNobodyElseIn) {
  RunningProgram program(
      train_args("model", {"--steps", "1000000", "--eval-every", "0", "--save-every", "5"}), here());
  ASSERT_TRUE(wait_for("model/checkpoints"));
  std::filesystem::remove(at("model/lock"));
  ASSERT_TRUE(wait_for("model/lock"));
  expect_refused(run({"train", "--out", "model", "--resume"}), 1, {"model is in use"});
  program.send(SIGINT);
  EXPECT_EQ(program.wait().status, 130);
}

TEST_F(OutputsTest, AClassifierDeletedWhileOthersAreTrainedIsSaidToBeGone) {
  std::string labelled;
  for (int i = 0; i < 600; ++i)
    labelled += i % 2 == 0 ? "good the cat sat on a mat\n" : "bad the dog ran to see\n";
  write("labelled.txt", labelled);
  RunningProgram program(
      {"classify", "train", "judge", "--data", "labelled.txt", "--n-layer", "1", "--n-embd", "32",
       "--ctx-len", "16", "--epochs", "20", "--seeds", "1", "2", "3", "4"},
      here());
  ASSERT_TRUE(wait_for("judge/tokenizer.json"));
  std::filesystem::remove(at("judge/classifier.safetensors"));
  const ProgramResult result = program.wait();
  EXPECT_EQ(result.status, 1) << result.err;
  expect_words(result.err, {"judge/classifier.safetensors was deleted meanwhile"});
  EXPECT_EQ(Json::parse(read("judge/results.json")).at("runs").size(), 4u);
}

TEST_F(OutputsTest, TrainingGoesOnWhenNobodyReadsItsOutput) {
  const std::string flags =
      "train --data text.txt --n-layer 1 --n-embd 16 --ctx-len 16 --batch-size 2 --sample-tokens 0 --steps 30 "
      "--eval-every 1 --save-every 1 --out ";
  int count = 0;
  for (const std::string end : {" | true", " | head -1 > /dev/null", " 2>&1 | true", " > /dev/null"}) {
    const std::string out = "model" + std::to_string(count++);
    const ProgramResult result = shell("$S " + flags + out + end + "; exit ${PIPESTATUS[0]}");
    expect_success(result);
    EXPECT_TRUE(std::filesystem::exists(at(out + "/checkpoints/step-000000030.safetensors"))) << end;
  }
}

TEST_F(OutputsTest, ALimitOnFileSizesIsAnErrorThatNamesTheFile) {
  const std::string flags =
      "train --data text.txt --n-layer 1 --n-embd 64 --ctx-len 16 --batch-size 2 --sample-tokens 0 --steps 3 --out m";
  const ProgramResult result = shell("ulimit -f 50; $S " + flags + " > log 2>&1; s=$?; cat log; exit $s");
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.status, 1);
  expect_words(result.out, {"spikegpt: cannot write m/", ".safetensors", "File too large"});
  for (const auto& [name, content] : content_of(at("m"))) EXPECT_FALSE(name.ends_with(".tmp")) << name;
}

TEST_F(OutputsTest, NamesOfFilesMayHaveAnyBytes) {
  const std::string name = "caf\xE9.txt";
  write(name, small_text(1500));
  const std::string out = "mod\xE8le";
  Args args = train_args(out, {"--steps", "2", "--valid", name});
  args[2] = name;
  expect_success(run(args));
  expect_success(run({"train", "--out", out, "--resume", "--steps", "4"}));
  const ProgramResult measured = run({"eval", out, "--data", name, "--json"});
  expect_success(measured);
  EXPECT_TRUE(Json::parse(measured.out).contains("data"));
  expect_success(run({"report", out, "--out", "page\xE9.html"}));
  expect_success(run({"generate", out, "--prompt-file", name, "--tokens", "2", "--save-state", "st\xE4te"}));
  write("labels\xE9.txt", "1 a fine film\n0 a dull film\n1 fine\n0 dull\n");
  for (int i = 0; i < 2; ++i) {
    expect_success(run({"classify", "train", "cl\xE4ssifier", "--data", "labels\xE9.txt", "--n-layer", "1", "--n-embd",
                        "16", "--ctx-len", "16", "--epochs", "1"}));
  }
  write("table.csv", "caf\xC3\xA9,x\n");
  expect_refused(run({"energy", out, "--data", name, "--table", "pr\xE9s.json"}), 1, {"no table of prices"});
}

TEST_F(OutputsTest, NumbersThatAreNotFiniteAreRefused) {
  for (const char* flag : {"--tau", "--alpha", "--v-threshold", "--v-reset", "--dropout", "--lr", "--minutes",
                           "--weight-decay", "--rate-weight", "--rate-target", "--initial-gain"}) {
    for (const char* value : {"inf", "nan", "-inf", "infinity", "1e999"}) {
      SCOPED_TRACE(std::string(flag) + " " + value);
      expect_refused(run(train_args("bad", {flag, value})), 2, {flag});
    }
    const std::string key = [&] {
      std::string word = std::string(flag).substr(2);
      std::replace(word.begin(), word.end(), '-', '_');
      return word;
    }();
    write("bad.toml", key + " = inf\n");
    expect_refused(run(train_args("bad", {"--config", "bad.toml"})), 1, {"bad.toml", key, "finite"});
  }
  EXPECT_FALSE(std::filesystem::exists(at("bad")));
  expect_refused(run(train_args("bad", {"--tau", "1e300"})), 1, {"tau"});
  make_model("model", {"--steps", "2", "--grad-clip", "inf"});
  EXPECT_EQ(Json::parse(read("model/train.json")).at("train").at("grad_clip"), 0.0);
  expect_success(run({"train", "--out", "model", "--resume", "--steps", "4"}));
  for (const char* flag : {"--temperature", "--top-p", "--repetition-penalty"}) {
    expect_refused(run({"generate", "model", "--prompt", "a", flag, "nan"}), 2, {flag});
  }
  expect_refused(run({"spikes", "model", "--data", "text.txt", "--saturated", "nan"}), 2, {"--saturated"});
  expect_refused(run(train_args("bad", {"--patience", "nan"})), 2, {"--patience"});
  write("prices.json", R"({"name": "x", "mac": 1e999})");
  expect_refused(run({"energy", "model", "--data", "text.txt", "--table", "prices.json"}), 1, {"prices.json"});
}

TEST_F(OutputsTest, ADryRunTakesLittleMemory) {
  const std::string flags = " --data text.txt --preset 216m --ctx-len 256 --valid-fraction 0.1 --dry-run --out big";
  const ProgramResult result = shell("ulimit -v 1500000; $S train" + flags + " --threads 2");
  expect_success(result);
  expect_words(result.out, {"memory", "disk", "tokens/s", "about, timed on a smaller model", "nothing was written"});
  EXPECT_FALSE(std::filesystem::exists(at("big")));
}

}  // namespace
}  // namespace spikegpt::test
