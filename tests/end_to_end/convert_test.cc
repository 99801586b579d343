// Models and texts that come from elsewhere: convert, tokenizer train, tokenize, detokenize.
#include <gtest/gtest.h>

#include "spikegpt/core/json_fields.h"
#include "tests/end_to_end/small_runs.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

class ConvertTest : public SmallRuns {};

TEST_F(ConvertTest, WeightsOfAModelMakeTheSameModel) {
  expect_success(run(train_args("model", {})));
  expect_success(
      run({"convert", "model/model.safetensors", "again", "--ctx-len", "16", "--tokenizer", "model/vocab.json"}));
  EXPECT_EQ(read("again/model.safetensors"), read("model/model.safetensors"));
  EXPECT_EQ(read("again/vocab.json"), read("model/vocab.json"));
  const Args generate = {"--prompt", "a", "--tokens", "30", "--quiet"};
  Args one = {"generate", "model"};
  Args other = {"generate", "again"};
  one.insert(one.end(), generate.begin(), generate.end());
  other.insert(other.end(), generate.begin(), generate.end());
  EXPECT_EQ(run(one).out, run(other).out);
  expect_refused(run({"convert", "model/model.safetensors", "again"}), 1, {"again already holds a model"});
}

TEST_F(ConvertTest, WhatIsNoCheckpointIsRefused) {
  write("text.pth", "these are words");
  expect_refused(run({"convert", "text.pth", "out"}), 1, {"text.pth"});
  expect_refused(run({"convert", "none.pth", "out"}), 1, {"none.pth", "No such file"});
  EXPECT_FALSE(std::filesystem::exists(at("out")));
}

// Every file of a model in turn is a pointer of git-lfs, or a page of a web site.
TEST_F(ConvertTest, FilesThatWereNotDownloaded) {
  make_model("model");
  expect_success(run({"quantize", "model", "packed", "--type", "int8"}));
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n";
  const std::string page = "<!DOCTYPE html><html></html>";
  for (const char* name : {"model/config.json", "model/model.safetensors", "model/vocab.json",
                           "packed/packed.safetensors", "packed/config.json"}) {
    const std::string whole = read(name);
    const std::string folder = std::string(name).substr(0, std::string_view(name).find('/'));
    write(name, pointer);
    expect_refused(run({"generate", folder, "--prompt", "the"}), 1,
                   {name, "git-lfs pointer", "git lfs pull"});
    write(name, page);
    expect_refused(run({"generate", folder, "--prompt", "the"}), 1, {name, "HTML page"});
    write(name, whole);
  }
  write("tokenizer.json", pointer);
  expect_refused(run({"convert", "model/model.safetensors", "out", "--tokenizer", "tokenizer.json"}), 1,
                 {"tokenizer.json", "git lfs pull"});
  write("weights.pth", page);
  expect_refused(run({"convert", "weights.pth", "out"}), 1, {"weights.pth", "HTML page"});
  EXPECT_FALSE(std::filesystem::exists(at("out")));
}

// Embedding, ln_out and head: such checkpoints exist.
TEST_F(ConvertTest, AModelWithoutBlocksIsUsedLikeAnyOther) {
  write("text.txt", small_text(400));
  for (const char* arch : {"spikegpt", "rwkv", "event"}) {
    SCOPED_TRACE(arch);
    std::filesystem::remove_all(at("model"));
    std::filesystem::remove_all(at("flat"));
    std::filesystem::remove_all(at("packed"));
    expect_success(run(train_args("model", {"--arch", arch, "--steps", "4"})));
    change_tensors(at("model/model.safetensors"), [](OwnedTensors& tensors) {
      std::erase_if(tensors, [](const auto& tensor) { return tensor.first.starts_with("blocks."); });
    });
    expect_success(run({"convert", "model/model.safetensors", "flat", "--arch", arch, "--ctx-len", "16",
                        "--tokenizer", "model/vocab.json"}));
    EXPECT_EQ(Json::parse(read("flat/config.json"))["n_layer"], 0);
    expect_success(run({"quantize", "flat", "packed", "--type", "int8"}));
    for (const char* folder : {"flat", "packed"}) {
      expect_success(run({"inspect", folder}));
      const ProgramResult text = run({"generate", folder, "--prompt", "the", "--tokens", "20", "--quiet"});
      expect_success(text);
      EXPECT_GE(text.out.size(), 20u);
      expect_success(run({"eval", folder, "--data", "text.txt"}));
    }
    expect_success(run({"check", "flat", "--data", "text.txt"}));
    expect_success(run({"energy", "flat", "--data", "text.txt"}));
    expect_success(run({"trace", "flat", "--tokens", "1,2,3", "--out", "trace.safetensors"}));
    expect_success(run({"train", "--data", "text.txt", "--from", "flat", "--out",
                        std::string("tuned_") + arch, "--steps", "3", "--sample-tokens", "0"}));
  }
}

TEST_F(ConvertTest, OfficialCheckpoint) {
  const auto weights = shared_path("official/a/model.pth");
  const auto vocabulary = shared_path("tokenizer/vocab_book.json");
  if (!weights || !vocabulary) GTEST_SKIP() << "the official checkpoint is not on this machine";
  expect_success(run({"convert", weights->string(), "official", "--tokenizer", vocabulary->string()}));
  const Json config = Json::parse(read("official/config.json"));
  EXPECT_EQ(config["n_layer"], 3);
  EXPECT_EQ(config["n_embd"], 64);
  EXPECT_EQ(config["vocab_size"], 77);
  expect_success(run({"generate", "official", "--prompt", "the", "--tokens", "5", "--published-rescale"}));
}

TEST_F(ConvertTest, ATokenizerIsTrainedAndUsed) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the cat and the dog, the cat's dog\n";
  write("pets.txt", text);
  expect_success(run({"tokenizer", "train", "--data", "pets.txt", "--vocab-size", "270", "--out", "bpe.json"}));
  const ProgramResult ids = run({"tokenize", "bpe.json", "pets.txt"});
  expect_success(ids);
  EXPECT_LT(ids.out.size(), 3 * text.size());
  write("ids.txt", ids.out);
  EXPECT_EQ(run({"detokenize", "bpe.json", "ids.txt"}).out, text);
  expect_success(run({"tokenize", "bpe.json", "pets.txt", "--out", "pets"}));
  expect_success(run({"train", "--data", "pets.idx", "--tokenizer", "bpe.json", "--out", "model", "--n-layer", "1",
                      "--n-embd", "16", "--ctx-len", "16", "--steps", "3", "--sample-tokens", "5"}));
  EXPECT_TRUE(std::filesystem::exists(at("model/tokenizer.json")));
  expect_refused(run({"detokenize", "bpe.json", "pets.txt"}), 1, {"pets.txt", "token ids such as"});
  expect_refused(run({"tokenize", "bpe.json", "--out", "x"}), 1, {"--out needs the texts"});
}

}  // namespace
}  // namespace spikegpt::test
