// What `spikegpt train` is told: presets, configuration files, flags, and all that cannot be used.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "spikegpt/model/config.h"
#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class SettingsTest : public SmallRuns {
 protected:
  // Of a run in the folder `out`, as train.json tells it.
  Json settings(const std::string& out) const { return Json::parse(read(out + "/train.json")); }

  ProgramResult train_with(const std::string& toml, const Args& more = {}) const {
    write("run.toml", toml);
    Args args = {"train", "--out", "model", "--config", "run.toml"};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  }
  void expect_no_model() const { EXPECT_FALSE(std::filesystem::exists(at("model"))); }
};

constexpr const char* kSmall = R"(
data = "text.txt"
n_layer = 1
n_embd = 16
ctx_len = 16
batch_size = 2
steps = 3
sample_tokens = 0
)";

TEST_F(SettingsTest, EveryKindOfValueInAConfigurationFile) {
  const ProgramResult result = train_with(std::string(kSmall) + R"(
arch = "event"            # a comment
tokenizer = 'bytes'
v_reset = "none"
detach_reset = true
tau = 3
lr = 1e-3
seed = 9223372036854775807
surrogate = "sigmoid"
vocab_size = 300
)");
  expect_success(result);
  const ModelConfig config = load_config(at("model/config.json"));
  EXPECT_EQ(config.arch, "event");
  EXPECT_EQ(config.n_layer, 1);
  EXPECT_EQ(config.n_embd, 16);
  EXPECT_EQ(config.vocab_size, 300);
  EXPECT_EQ(config.tau, 3.0);
  EXPECT_FALSE(config.v_reset.has_value());
  EXPECT_TRUE(config.detach_reset);
  EXPECT_EQ(config.surrogate, "sigmoid");
  const Json train = settings("model").at("train");
  EXPECT_EQ(train.at("steps"), 3);
  EXPECT_EQ(train.at("lr"), 1e-3);
  EXPECT_EQ(train.at("seed").get<std::uint64_t>(), 9223372036854775807u);
  EXPECT_EQ(settings("model").at("run").at("tokenizer"), "bytes");
  EXPECT_EQ(metrics("model").size(), 5u);  // three steps, two evaluations
}

TEST_F(SettingsTest, FlagsWinOverTheFileAndTheFileOverThePreset) {
  const ProgramResult result = train_with(
      "data = \"text.txt\"\npreset = \"tiny\"\nn_layer = 2\nn_embd = 24\nctx_len = 16\nsteps = "
      "9\nbatch_size = 2\n",
      {"--n-embd", "8", "--steps", "2", "--preset", "nano", "--arch", "rwkv", "--sample-tokens", "0"});
  expect_success(result);
  const ModelConfig config = load_config(at("model/config.json"));
  EXPECT_EQ(config.n_layer, 2);   // file
  EXPECT_EQ(config.n_embd, 8);    // flag
  EXPECT_EQ(config.ctx_len, 16);  // file
  EXPECT_EQ(config.arch, "rwkv");
  EXPECT_FALSE(config.binary_embedding);  // follows the arch
  EXPECT_EQ(settings("model").at("train").at("steps"), 2);
  EXPECT_EQ(settings("model").at("train").at("batch_size"), 2);
}

TEST_F(SettingsTest, APresetInTheFile) {
  expect_success(train_with("data = \"text.txt\"\npreset = \"nano\"\nsteps = 1\nbatch_size = 1\nsample_tokens = 0\n"));
  EXPECT_EQ(load_config(at("model/config.json")).n_embd, 64);
}

TEST_F(SettingsTest, FlagsOfNeuronsReachTheModel) {
  make_model("model", {"--steps", "1", "--tau", "1.5", "--v-threshold", "0.8", "--v-reset", "none", "--alpha", "3",
                       "--surrogate", "erf", "--decay-input", "false", "--binary-embedding", "false"});
  const ModelConfig config = load_config(at("model/config.json"));
  EXPECT_EQ(config.tau, 1.5);
  EXPECT_EQ(config.v_threshold, 0.8);
  EXPECT_FALSE(config.v_reset.has_value());
  EXPECT_EQ(config.alpha, 3.0);
  EXPECT_EQ(config.surrogate, "erf");
  EXPECT_FALSE(config.decay_input);
  EXPECT_FALSE(config.binary_embedding);
}

TEST_F(SettingsTest, FaultsOfAConfigurationFileAreNamedWithTheirPlace) {
  const std::string small = kSmall;
  expect_refused(train_with(small + "bogus = 3\n"), 1, {"run.toml", "unknown key \"bogus\"", "train --help"});
  expect_refused(train_with(small + "lr = \"fast\"\n"), 1, {"run.toml", "\"lr\"", "fast", "type"});
  expect_refused(train_with(small + "tau = true\n"), 1, {"run.toml", "\"tau\"", "true", "type"});
  expect_refused(train_with("n_layer = 1.5\n"), 1, {"run.toml", "\"n_layer\"", "1.5", "type"});
  expect_refused(train_with("recompute = 1\n"), 1, {"run.toml", "\"recompute\"", "type"});
  expect_refused(train_with("data = 7\n"), 1, {"run.toml", "\"data\"", "7", "type"});
  expect_refused(train_with("preset = 7\n"), 1, {"run.toml", "\"preset\"", "string"});
  expect_refused(train_with("n_layer = 2\nlr = \n"), 1, {"run.toml:2:6", "value"});
  expect_refused(train_with("steps = 2\nsteps = 3\n"), 1, {"run.toml:2:", "steps"});
  expect_refused(train_with("a = 1\n[model]\nn_layer = 2\n"), 1, {"run.toml:2:1", "key = value"});
  expect_refused(train_with("n_layer = [2]\n"), 1, {"run.toml", "\"n_layer\"", "[2]", "type"});
  expect_refused(train_with("\xff\xfe\x01"), 1, {"run.toml", "UTF-16", "odd number of bytes"});
  expect_refused(train_with("\xff\x01"), 1, {"run.toml:1:1", "utf-8"});
  expect_refused(train_with(small + "lr = nan\n"), 1, {"run.toml", "\"lr\"", "nan", "a finite number"});
  expect_refused(train_with(small + "minutes = inf\n"), 1, {"run.toml", "\"minutes\"", "inf", "a finite number"});
  expect_refused(train_with(small + "vocab_size = 5\n"), 1, {"15 tokens", "vocabulary 5"});
  expect_no_model();
  expect_refused(run({"train", "--out", "model", "--config", "none.toml"}), 1, {"none.toml", "No such file"});
  expect_refused(run({"train", "--out", "model", "--config", "."}), 1, {". is not a regular file"});
  expect_no_model();
}

TEST_F(SettingsTest, ImpossibleValuesNameTheKeyAndWhatIsExpected) {
  struct Case {
    const char* flag;
    const char* value;
    std::vector<std::string_view> words;
  };
  for (const Case& bad :
       std::initializer_list<Case>{{"--preset", "huge", {"preset = \"huge\"", "nano, tiny, 45m, 125m, 216m, 260m"}},
                                   {"--arch", "lstm", {"arch = \"lstm\"", "spikegpt, rwkv, event"}},
                                   {"--model-type", "GPT", {"model_type = \"GPT\"", "RWKV, RWKV-ffnPre"}},
                                   {"--tokenizer", "words", {"tokenizer \"words\"", "bytes, chars"}},
                                   {"--surrogate", "step", {"surrogate \"step\"", "atan, sigmoid"}},
                                   {"--precision", "f64", {"precision \"f64\"", "auto, f32 or bf16"}},
                                   {"--init", "zeros", {"\"zeros\"", "default", "rwkv"}},
                                   {"--tau", "0.5", {"tau = 0.5", "at least 1"}},
                                   {"--v-threshold", "-1", {"v_threshold = -1", "above v_reset"}},
                                   {"--dropout", "1", {"dropout = 1", "below 1"}},
                                   {"--alpha", "0", {"alpha = 0", "positive"}},
                                   {"--event-head", "true", {"event_head = true", "arch is event"}},
                                   {"--lr", "0", {"lr = 0", "positive"}},
                                   {"--lr-final", "1", {"lr_final = 1", "0 to lr"}},
                                   {"--accumulate", "0", {"accumulate = 0", "1 to"}},
                                   {"--steps", "0", {"steps = 0", "at least 1"}},
                                   {"--beta2", "1", {"beta2 = 1", "without 1"}},
                                   {"--grad-clip", "-1", {"grad_clip = -1", "0 or more"}},
                                   {"--valid-fraction", "1", {"valid_fraction = 1", "without 1"}},
                                   {"--keep", "0", {"keep = 0", "at least 1"}},
                                   {"--log-every", "0", {"log_every = 0", "at least 1"}}}) {
    SCOPED_TRACE(bad.flag);
    expect_refused(run(train_args("model", {bad.flag, bad.value})), 1, bad.words);
  }
  expect_refused(run(train_args("model", {"--lr", "nan"})), 2, {"--lr", "a finite number", "\"nan\""});
  // None is a model too: an embedding and a head.
  expect_refused(run({"train", "--data", "text.txt", "--out", "model", "--n-layer", "-1"}), 1,
                 {"n_layer = -1", "expected 0 to "});
  for (const auto& [flag, value] : {std::pair{"--n-embd", "-4"},
                                    {"--ctx-len", "0"},
                                    {"--batch-size", "0"},
                                    {"--n-embd", "70000"}}) {
    SCOPED_TRACE(flag);
    std::string key = std::string(flag).substr(2);
    std::replace(key.begin(), key.end(), '-', '_');
    expect_refused(run({"train", "--data", "text.txt", "--out", "model", flag, value}), 1,
                   {key + " = " + value, "expected 1 to "});
  }
  expect_no_model();
}

TEST_F(SettingsTest, FlagsThatCannotBeReadAreUsageErrors) {
  expect_refused(run(train_args("model", {"--bogus", "3"})), 2, {"--bogus", "spikegpt train --help"});
  expect_refused(run(train_args("model", {"--lr", "fast"})), 2, {"--lr", "a number", "\"fast\"", "train --help"});
  expect_refused(run(train_args("model", {"--steps", "1.5"})), 2, {"--steps", "a whole number", "\"1.5\""});
  expect_refused(run(train_args("model", {"--steps", "99999999999999999999"})), 2, {"--steps", "a whole number"});
  expect_refused(run(train_args("model", {"--recompute", "maybe"})), 2, {"--recompute", "maybe"});
  expect_refused(run(train_args("model", {"--v-reset", "soft"})), 2, {"--v-reset", "a number or none", "\"soft\""});
  expect_refused(run(train_args("model", {"--threads", "5000"})), 2, {"--threads", "5000", "0 to 1024"});
  expect_refused(run(train_args("model", {"--seed"})), 2, {"--seed", "1 required"});
  expect_refused(run(train_args("model", {"--seed", "-1"})), 2, {"--seed", "from 0 to", "\"-1\""});
  expect_refused(run({"train", "--data", "text.txt"}), 2, {"--out", "required", "train --help"});
  expect_refused(run({"generate"}), 2, {"model", "required", "generate --help"});
  expect_refused(run({"eval", "model"}), 2, {"--data", "required", "eval --help"});
  expect_refused(run({"bench", "speed"}), 2, {"speed", "train,kernels,decode"});
  expect_refused(run({"trian", "--data", "text.txt"}), 2, {"unknown command \"trian\"", "train, generate, eval"});
  expect_refused(run({}), 2, {"expected a command", "train, generate, eval"});
  expect_refused(run({"train", "--out", "model"}), 1, {"--data FILE is missing"});
  expect_refused(run({"inspect"}), 1, {"folder of a model", "--presets"});
  expect_refused(run({"bench", "train", "--preset", "huge"}), 1, {"preset = \"huge\"", "nano"});
  expect_no_model();
}

}  // namespace
}  // namespace spikegpt::test
