// Files that are missing, damaged or hostile, a disk that is full, training that diverges: one
// clear line, and nothing that was there before is harmed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class BadTextTest : public SmallRuns {
 protected:
  ProgramResult train_on(const std::string& file, const Args& more = {}) const {
    Args args = {"train", "--data", file, "--out", "model", "--n-layer", "1", "--n-embd", "16", "--steps", "2"};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  }
};

TEST_F(BadTextTest, TrainingRefusesWhatItCannotLearnFrom) {
  write("empty.txt", "");
  write("short.txt", "hello");
  std::string binary = "begin";
  for (int i = 0; i < 3000; ++i) binary += static_cast<char>(i * 7919 % 251);
  write("binary.dat", binary);
  write("latin1.txt", small_text(300) + "caf\xe9 " + small_text(300));
  std::filesystem::create_directory(at("folder"));
  expect_refused(train_on("none.txt"), 1, {"none.txt", "No such file"});
  expect_refused(train_on("text.txt/below"), 1, {"text.txt/below", "Not a directory"});
  expect_refused(train_on("empty.txt"), 1, {"empty.txt is empty", "a file with text is needed"});
  expect_refused(train_on("empty.txt", {"--tokenizer", "bytes"}), 1, {"empty.txt is empty"});
  expect_refused(train_on("binary.dat"), 1, {"binary.dat is binary", "--tokenizer bytes"});
  expect_refused(train_on("latin1.txt"), 1, {"latin1.txt is not UTF-8", "0xE9", "line ", "iconv"});
  expect_refused(train_on("folder"), 1, {"the folder folder holds no files"});
  expect_refused(train_on("short.txt", {"--ctx-len", "16"}), 1,
                 {"short.txt is too short", "ctx_len = 16", "need 17", "at most 2"});
  expect_refused(train_on("text.txt", {"--ctx-len", "100000"}), 1,
                 {"text.txt is too short", "ctx_len = 100000", "need 100001"});
  expect_refused(train_on("text.txt", {"--ctx-len", "16", "--valid", "none.txt"}), 1, {"none.txt", "No such file"});
  expect_refused(train_on("text.txt", {"--ctx-len", "16", "--valid", "empty.txt"}), 1, {"empty.txt is empty"});
  EXPECT_FALSE(std::filesystem::exists(at("model")));
}

// What a download leaves in place of a file is said to be that, wherever text, labelled texts, vocabularies
// or tokens are read.
TEST_F(BadTextTest, PointersAndPagesAreNamed) {
  make_model("model");
  write("labelled.txt", "good the cat\nbad the dog\ngood a mat\nbad a red dog\n");
  expect_success(
      run({"classify", "train", "judge", "--data", "labelled.txt", "--from", "model", "--epochs", "1"}));
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
  const std::string page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n";
  const std::pair<std::string, std::vector<std::string_view>> leftovers[] = {
      {pointer, {": this is a git-lfs pointer", "git lfs pull"}}, {page, {": this is an HTML page"}}};
  for (const auto& [content, words] : leftovers) {
    for (const char* name :
         {"gone.txt", "gone.jsonl", "gone.csv", "gone.tsv", "gone.json", "gone.idx", "gone.bin"}) {
      write(name, content);
    }
    std::filesystem::create_directory(at("corpus"));
    write("corpus/a.txt", content);
    const std::vector<Args> commands = {
        {"train", "--data", "gone.txt", "--out", "new"},
        {"train", "--data", "gone.txt", "--out", "new", "--tokenizer", "bytes"},
        {"train", "--data", "gone.jsonl", "--out", "new"},
        {"train", "--data", "corpus", "--out", "new"},
        {"train", "--data", "text.txt", "--valid", "gone.txt", "--out", "new"},
        {"train", "--data", "text.txt", "--tokenizer", "gone.json", "--out", "new"},
        {"train", "--data", "gone.idx", "--tokenizer", "model/vocab.json", "--out", "new"},
        {"eval", "model", "--data", "gone.txt"},
        {"energy", "model", "--data", "gone.txt"},
        {"spikes", "model", "--data", "gone.txt"},
        {"check", "model", "--data", "gone.txt"},
        {"tokenize", "model", "gone.txt"},
        {"tokenize", "gone.json", "text.txt"},
        {"tokenize", "model", "gone.txt", "--out", "new"},
        {"tokenizer", "train", "--data", "gone.txt", "--out", "new"},
        {"classify", "train", "new", "--data", "gone.txt"},
        {"classify", "train", "new", "--data", "gone.csv"},
        {"classify", "train", "new", "--data", "gone.tsv"},
        {"classify", "train", "new", "--data", "gone.jsonl"},
        {"classify", "train", "new", "--data", "labelled.txt", "--dev", "gone.txt"},
        {"classify", "eval", "judge", "--data", "gone.txt"},
        {"classify", "predict", "judge", "--data", "gone.txt"}};
    for (const Args& command : commands) {
      SCOPED_TRACE(testing::PrintToString(command));
      const ProgramResult result = run(command);
      EXPECT_EQ(result.status, 1);
      EXPECT_EQ(result.out, "");
      expect_words(result.err, words);
      EXPECT_FALSE(std::filesystem::exists(at("new")));
    }
  }
}

TEST_F(BadTextTest, EvaluationRefusesWhatItCannotRead) {
  make_model("model");
  write("empty.txt", "");
  write("one.txt", "a");
  write("binary.dat", std::string("ab\0cd", 5));
  expect_refused(run({"eval", "model", "--data", "none.txt"}), 1, {"none.txt", "No such file"});
  expect_refused(run({"eval", "model", "--data", "empty.txt"}), 1, {"empty.txt is empty"});
  expect_refused(run({"eval", "model", "--data", "one.txt"}), 1, {"one.txt has 1", "at least 2"});
  expect_refused(run({"eval", "model", "--data", "binary.dat"}), 1, {"binary.dat is binary"});
  expect_refused(run({"eval", "model", "--data", "model"}), 1, {"model/best/model.safetensors is binary"});
  expect_refused(run({"eval", "model", "--data", "text.txt", "--precision", "f8"}), 1, {"precision \"f8\""});
}

TEST_F(BadTextTest, AFolderThatCannotBeMadeIsNamed) {
  // A path below a regular file: the superuser could write into a read-only folder.
  expect_refused(train_on("text.txt", {"--ctx-len", "16", "--out", "text.txt/model"}), 2, {"--out"});
  const ProgramResult result = run({"train", "--data", "text.txt", "--out", "text.txt/model", "--n-layer", "1",
                                    "--n-embd", "16", "--ctx-len", "16"});
  expect_refused(result, 1, {"text.txt/model", "Not a directory"});
  EXPECT_EQ(read("text.txt"), small_text(1500));
}

class BadModelTest : public SmallRuns {
 protected:
  static constexpr const char* kWeights = "model/model.safetensors";

  void SetUp() override { make_model("model"); }

  // Every command that reads a model says the same of its fault.
  void expect_unusable(const std::vector<std::string_view>& words) const {
    expect_refused(run({"generate", "model", "--prompt", "the"}), 1, words);
    expect_refused(run({"eval", "model", "--data", "text.txt"}), 1, words);
    expect_refused(run({"inspect", "model"}), 1, words);
    expect_refused(run({"trace", "model", "--tokens", "1,2", "--out", "trace.safetensors"}), 1, words);
    EXPECT_FALSE(std::filesystem::exists(at("trace.safetensors")));
  }
  void expect_inspect_refuses(const std::vector<std::string_view>& words) const {
    expect_refused(run({"inspect", "model"}), 1, words);
  }
  void change(const std::function<void(OwnedTensors&)>& change) const { change_tensors(at(kWeights), change); }
};

TEST_F(BadModelTest, MissingFolder) {
  std::filesystem::rename(at("model"), at("elsewhere"));
  expect_unusable({"model is not a model folder", "no config.json", "spikegpt train"});
}

TEST_F(BadModelTest, MissingWeights) {
  std::filesystem::remove(at(kWeights));
  expect_unusable({kWeights, "No such file"});
}

TEST_F(BadModelTest, WeightsCutShortAnywhere) {
  const std::string whole = read(kWeights);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{8}, std::size_t{8} + header / 2,
                                 std::size_t{8} + header, whole.size() / 2, whole.size() - 1}) {
    SCOPED_TRACE(size);
    write(kWeights, whole.substr(0, size));
    expect_inspect_refuses({kWeights});
    EXPECT_EQ(read(kWeights).size(), size);
  }
  expect_unusable({kWeights, "cut short"});
  write(kWeights, whole + "more");
  expect_inspect_refuses({kWeights, "4 bytes follow the last tensor"});
}

TEST_F(BadModelTest, WeightsThatAreNoSafetensors) {
  write(kWeights, "this is not a file of tensors, whatever its name says");
  expect_unusable({kWeights, "not safetensors"});
  write(kWeights, std::string(8, '\xff') + "{}");
  expect_inspect_refuses({kWeights, "header"});
  write(kWeights, std::string("\x02\0\0\0\0\0\0\0", 8) + "[]");
  expect_inspect_refuses({kWeights, "header is not a JSON object"});
}

TEST_F(BadModelTest, TensorsThatAreNotThoseOfTheConfiguration) {
  const std::string whole = read(kWeights);
  change([](OwnedTensors& tensors) {
    std::swap(tensors.at("blocks.0.ffn.key.weight").shape[0], tensors.at("blocks.0.ffn.key.weight").shape[1]);
  });
  expect_unusable({kWeights, "blocks.0.ffn.key.weight", "[16, 64]", "asks for [64, 16]"});
  write(kWeights, whole);
  change([](OwnedTensors& tensors) { tensors.erase("ln_out.bias"); });
  expect_unusable({kWeights, "ln_out.bias", "[16]", "missing"});
  write(kWeights, whole);
  change([](OwnedTensors& tensors) { tensors["blocks.7.att.key.weight"] = tensors.at("ln_out.bias"); });
  expect_unusable({kWeights, "blocks.7.att.key.weight", "not a parameter"});
  write(kWeights, whole);
  change([](OwnedTensors& tensors) { tensors.at("ln_out.bias").dtype = DType::kI32; });
  expect_unusable({kWeights, "ln_out.bias", "I32", "expected F32"});
  write(kWeights, whole);
  expect_success(run({"inspect", "model"}));
}

TEST_F(BadModelTest, WeightsThatAreNoNumbers) {
  const std::string whole = read(kWeights);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    write(kWeights, whole);
    change([&](OwnedTensors& tensors) { set_float(tensors.at("blocks.0.att.key.weight"), 17, bad); });
    expect_unusable({kWeights, "blocks.0.att.key.weight", std::isnan(bad) ? "nan" : "-inf", "element 17",
                     "expected finite numbers"});
  }
}

TEST_F(BadModelTest, FiniteWeightsWhoseOutputIsNot) {
  change([](OwnedTensors& tensors) { fill_floats(tensors.at("ln_out.weight"), 3e38f); });
  expect_stopped(run({"generate", "model", "--prompt", "the"}), {"output for token", "expected finite numbers"});
  expect_stopped(run({"eval", "model", "--data", "text.txt"}), {"loss", "not a finite number"});
}

TEST_F(BadModelTest, ConfigurationThatCannotBeUsed) {
  const std::string good = read("model/config.json");
  const auto with = [&](const std::string& key, const Json& value) {
    Json json = Json::parse(good);
    json[key] = value;
    write("model/config.json", json.dump());
  };
  write("model/config.json", good.substr(0, good.size() / 2));
  expect_unusable({"model/config.json", "expected a JSON object"});
  write("model/config.json", "");
  expect_inspect_refuses({"model/config.json", "expected a JSON object"});
  write("model/config.json", "[1, 2]");
  expect_inspect_refuses({"model/config.json", "expected a JSON object"});
  with("n_heads", 12);
  expect_unusable({"model/config.json", "unknown key \"n_heads\"", "12"});
  with("n_layer", "one");
  expect_inspect_refuses({"model/config.json", "\"n_layer\"", "\"one\"", "type"});
  with("n_embd", 16.5);
  expect_inspect_refuses({"model/config.json", "\"n_embd\"", "16.5", "type"});
  with("n_embd", 4294967312);
  expect_inspect_refuses({"model/config.json", "n_embd", "4294967312"});
  with("binary_embedding", 1);
  expect_inspect_refuses({"model/config.json", "\"binary_embedding\"", "type"});
  with("n_layer", -1);
  expect_inspect_refuses({"model/config.json", "n_layer = -1", "expected 0 to"});
  with("n_layer", 0);
  expect_inspect_refuses({"model/model.safetensors", "blocks.0.", "not a parameter"});
  with("arch", "lstm");
  expect_inspect_refuses({"model/config.json", "arch = \"lstm\"", "spikegpt, rwkv, event"});
  with("n_embd", 32);
  expect_unusable({"model/model.safetensors", "shape", "asks for"});
  with("n_layer", 1000);
  expect_inspect_refuses({"model/model.safetensors", "blocks.1.", "missing"});
}

TEST_F(BadModelTest, VocabularyThatCannotBeUsed) {
  const std::string good = read("model/vocab.json");
  const auto expect_no_writing = [&](const std::vector<std::string_view>& words) {
    expect_refused(run({"generate", "model", "--prompt", "the"}), 1, words);
    expect_refused(run({"eval", "model", "--data", "text.txt"}), 1, words);
  };
  write("model/vocab.json", good.substr(0, good.size() / 2));
  expect_no_writing({"model/vocab.json"});
  write("model/vocab.json", "");
  expect_no_writing({"model/vocab.json"});
  write("model/vocab.json", "[\"a\", \"b\"]");
  expect_no_writing({"model/vocab.json", "expected a JSON object"});
  write("model/vocab.json", "{\"0\": \"a\", \"7\": \"b\"}");
  expect_no_writing({"model/vocab.json", "\"7\"", "0 to 1"});
  write("model/vocab.json", "{\"0\": \"a\", \"1\": \"a\"}");
  expect_no_writing({"model/vocab.json", "two ids"});
  std::filesystem::remove(at("model/vocab.json"));
  expect_no_writing({"model", "vocab.json"});
  Json large = Json::parse(good);
  large[std::to_string(large.size())] = "Z";
  write("model/vocab.json", large.dump());
  expect_refused(run({"generate", "model", "--prompt", "the"}), 1, {"tokenizer has 16 tokens", "vocabulary 15"});
}

class BadRunTest : public SmallRuns {
 protected:
  void SetUp() override { make_model("model", {"--steps", "10", "--save-every", "5", "--eval-every", "0"}); }

  static constexpr const char* kNewest = "model/checkpoints/step-000000010.safetensors";
  Args resume() const { return {"train", "--out", "model", "--resume", "--steps", "30"}; }

  void expect_usable() const {
    expect_success(run({"generate", "model", "--prompt", "the", "--tokens", "5", "--quiet"}));
  }
  // But for the settings and the metrics, which tell of what was tried.
  void expect_files_kept(const std::map<std::string, std::string>& before) const {
    for (const auto& [name, content] : before) {
      if (name.ends_with("metrics.jsonl") || name.ends_with("train.json")) continue;
      EXPECT_EQ(read(name), content) << name;
    }
    for (const auto& [name, content] : content_of(folder())) {
      EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
    }
  }
};

TEST_F(BadRunTest, ACheckpointWithWrongContentIsNamedAndNothingChanges) {
  const std::string whole = read(kNewest);
  const auto refuses = [&](const std::vector<std::string_view>& words) {
    const auto before = content_of(folder());
    expect_refused(run(resume()), 1, words);
    EXPECT_EQ(content_of(folder()), before);
  };
  const auto damage = [&](const std::function<void(OwnedTensors&)>& change) {
    write(kNewest, whole);
    change_tensors(at(kNewest), change);
  };
  const WeightFile checkpoint = read_safetensors(at(kNewest).replace_filename("step-000000005.safetensors"));
  std::string moment;
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (tensor.name.ends_with("second_moment")) moment = tensor.name;
  }
  ASSERT_FALSE(moment.empty());
  damage([&](OwnedTensors& tensors) { tensors.erase(moment); });
  refuses({kNewest, moment, "missing"});
  damage([](OwnedTensors& tensors) { tensors.erase("head.weight"); });
  refuses({kNewest, "head.weight", "missing"});
  damage([](OwnedTensors& tensors) { tensors["surplus"] = tensors.at("ln_out.bias"); });
  refuses({kNewest, "surplus", "not a parameter"});
  damage([](OwnedTensors& tensors) { set_float(tensors.at("head.weight"), 3, std::nanf("")); });
  refuses({kNewest, "head.weight", "nan", "element 3"});
  expect_usable();
  std::filesystem::remove(at(kNewest));  // what the user would do: the one before still serves
  expect_success(run(resume()));
}

TEST_F(BadRunTest, ADamagedDescriptionOfTheRunIsNamed) {
  const std::string good = read("model/train.json");
  write("model/train.json", good.substr(0, good.size() / 2));
  expect_refused(run(resume()), 1, {"model/train.json", "expected an object"});
  Json json = Json::parse(good);
  json["train"]["momentum"] = 0.9;
  write("model/train.json", json.dump());
  expect_refused(run(resume()), 1, {"model/train.json", "unknown key \"momentum\""});
  json = Json::parse(good);
  json["train"]["lr"] = "fast";
  write("model/train.json", json.dump());
  expect_refused(run(resume()), 1, {"model/train.json", "\"lr\"", "\"fast\"", "type"});
}

TEST_F(BadRunTest, AFullDiskWhileSavingACheckpoint) {
  const auto before = content_of(folder());
  ProgramOptions options = here();
  options.largest_file = 30'000;  // more than the metrics and the model, less than a checkpoint
  ASSERT_GT(read(kNewest).size(), 30'000u);
  Args args = resume();
  args.insert(args.end(), {"--save-every", "5"});
  const ProgramResult result = run_program(args, options);
  expect_stopped(result, {"step-000000015.safetensors", "File too large", "unchanged"});
  expect_files_kept(before);
  expect_usable();
  expect_success(run(resume()));            // once there is room again
  EXPECT_EQ(metrics("model").size(), 33u);  // 30 steps; evaluations before, after 10 and after 30
}

TEST_F(BadRunTest, AFullDiskBeforeAnythingIsSaved) {
  ProgramOptions options = here();
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{200}, rlim_t{500}, rlim_t{2500}}) {
    SCOPED_TRACE(bytes);
    const std::string out = "new" + std::to_string(bytes);
    options.largest_file = bytes;
    const ProgramResult result = run_program(train_args(out, {"--steps", "30"}), options);
    expect_stopped(result, {out + "/", "cannot write"});
    for (const auto& [name, content] : content_of(at(out))) EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
  }
}

TEST_F(BadRunTest, AFullDiskWhileTracing) {
  expect_success(run({"trace", "model", "--tokens", "1", "--out", "trace.safetensors"}));
  const std::string earlier = read("trace.safetensors");
  ProgramOptions options = here();
  options.largest_file = 1000;
  const ProgramResult result =
      run_program({"trace", "model", "--tokens", "1,2,3", "--out", "trace.safetensors"}, options);
  expect_refused(result, 1, {"trace.safetensors", "File too large"});
  EXPECT_EQ(read("trace.safetensors"), earlier);
}

class DivergenceTest : public SmallRuns {};

TEST_F(DivergenceTest, AGradientThatIsNotFiniteStopsWithStepAndLayer) {
  // Without a second moment to divide by, Adam's steps explode.
  const ProgramResult result =
      run(train_args("wild", {"--arch",       "rwkv", "--precision", "f32", "--grad-clip",  "0", "--lr",   "9.9",
                              "--beta2",      "0",    "--steps",     "200", "--save-every", "1", "--keep", "1000",
                              "--eval-every", "0",    "--retries",   "0"}));
  expect_stopped(result, {"spikegpt: step ", "not finite", "blocks.0.", "--lr"});
  const std::size_t steps = metrics("wild").size() - 1;  // less the evaluation at the start
  expect_words(result.err, {"spikegpt: step " + std::to_string(steps + 1) + ":"});
  ASSERT_EQ(checkpoints("wild").size(), steps) << "all that went well was kept";
  const WeightFile last = read_safetensors(at("wild/checkpoints") / checkpoints("wild").back());
  for (const TensorView& tensor : last.tensors()) {
    for (const float value : floats_of(last, tensor.name)) ASSERT_TRUE(std::isfinite(value)) << tensor.name;
  }
  expect_success(run({"inspect", "wild"}));
}

struct Poison {
  const char* name;
  const char* arch;
  const char* tensor;
  const char* layer;
};

class DivergenceLayerTest : public SmallRuns, public testing::WithParamInterface<Poison> {};

// Weights so large that a product overflows stand for a run that went wild.
TEST_P(DivergenceLayerTest, ALossThatIsNotFiniteStopsWithStepAndLayer) {
  make_model("model", {"--steps", "10", "--save-every", "5", "--arch", GetParam().arch, "--dropout", "0",
                       "--binary-embedding", "false", "--precision", "f32"});
  change_tensors(at("model/checkpoints/step-000000010.safetensors"),
                 [&](OwnedTensors& tensors) { fill_floats(tensors.at(GetParam().tensor), 3e38f); });
  auto before = content_of(folder());
  expect_stopped(run({"train", "--out", "model", "--resume", "--steps", "30", "--retries", "0"}),
                 {"step 11", "loss is not a finite number", GetParam().layer, "--lr"});
  auto after = content_of(folder());
  EXPECT_EQ(Json::parse(after.at("model/train.json")).at("train").at("steps"), 30);
  before.erase("model/train.json");
  after.erase("model/train.json");
  EXPECT_EQ(before, after);
  expect_success(run({"generate", "model", "--prompt", "the", "--tokens", "5"}));
}

INSTANTIATE_TEST_SUITE_P(
    Layers, DivergenceLayerTest,
    testing::Values(Poison{"ln0", "spikegpt", "blocks.0.ln0.weight", "ln0 of block 0"},
                    Poison{"time_mix", "rwkv", "blocks.0.att.value.weight", "the time mix of block 0"},
                    Poison{"channel_mix", "rwkv", "blocks.0.ffn.value.weight", "the channel mix of block 0"},
                    Poison{"head", "spikegpt", "ln_out.weight", "the head"}),
    [](const auto& poison) { return std::string(poison.param.name); });

}  // namespace
}  // namespace spikegpt::test
