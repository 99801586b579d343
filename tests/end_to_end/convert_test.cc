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
