// The main job: from a text to a model that is saved, measured, shown and writes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <numbers>

#include "spikegpt/model/model_files.h"
#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

struct Kind {
  const char* name;
  const char* arch;
  const char* model_type;
  const char* tokenizer;
  const char* vocabulary_file;
};

class LearnTest : public SmallRuns, public testing::WithParamInterface<Kind> {
 protected:
  Args args(const std::string& out) const {
    return {"train",
            "--data",
            "text.txt",
            "--out",
            out,
            "--preset",
            "nano",
            "--arch",
            GetParam().arch,
            "--model-type",
            GetParam().model_type,
            "--tokenizer",
            GetParam().tokenizer,
            "--steps",
            "40",
            "--batch-size",
            "4",
            "--lr",
            "0.005",
            "--eval-every",
            "20",
            "--save-every",
            "15",
            "--sample-tokens",
            "20",
            "--sample-prompt",
            "the "};
  }
};

std::string find_line(const std::string& text, std::string_view start) {
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with(start)) return line;
  }
  ADD_FAILURE() << "no line \"" << start << "...\" in:\n" << text;
  return "";
}

TEST_P(LearnTest, TrainsAndLeavesAModelThatLearned) {
  const ProgramResult result = run(args("model"));
  expect_success(result);

  for (const char* name : {"config.json", "model.safetensors", "metrics.jsonl", "train.json"}) {
    EXPECT_TRUE(std::filesystem::exists(at("model") / name)) << name;
  }
  EXPECT_TRUE(std::filesystem::exists(at("model") / GetParam().vocabulary_file));
  EXPECT_EQ(checkpoints("model"),
            (std::vector<std::string>{"step-000000030.safetensors", "step-000000040.safetensors"}));
  for (const auto& [name, content] : content_of(folder())) {
    EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
  }

  double before = 0.0;
  double after = 0.0;
  const std::string line = find_line(result.out, "held-out bits per ");
  const std::size_t colon = line.find(": ");
  ASSERT_EQ(std::sscanf(line.c_str() + colon, ": %lf before, %lf after", &before, &after), 2) << line;
  EXPECT_GT(before, 3.0);
  EXPECT_LT(after, 0.75 * before);
  expect_words(result.out, {"  | the ", "saved model/checkpoints/step-000000015.safetensors", "the model is in model"});

  const ModelConfig config = load_config(at("model/config.json"));
  EXPECT_EQ(config.arch, GetParam().arch);
  EXPECT_EQ(config.model_type, GetParam().model_type);
  EXPECT_EQ(config.n_layer, 2);
  EXPECT_EQ(config.n_embd, 64);
  EXPECT_EQ(load_model(at("model")).config, config);
}

TEST_P(LearnTest, MetricsTellOfEveryStepAndEvaluation) {
  expect_success(run(args("model")));
  std::vector<int> steps;
  std::vector<int> evaluations;
  std::size_t samples = 0;
  for (const Json& line : metrics("model")) {
    const int step = line.at("step").get<int>();
    if (line.contains("valid_loss")) {
      evaluations.push_back(step);
      EXPECT_NEAR(line.at("valid_bits").get<double>(), line.at("valid_loss").get<double>() / std::numbers::ln2, 1e-9);
      continue;
    }
    if (line.contains("sample")) {
      EXPECT_EQ(step, evaluations.back()) << "a sample follows its evaluation";
      ++samples;
      continue;
    }
    steps.push_back(step);
    EXPECT_EQ(line.at("tokens").get<int>(), 4 * 64);
    EXPECT_GT(line.at("loss").get<double>(), 0.0);
    EXPECT_GT(line.at("grad_norm").get<double>(), 0.0);
    EXPECT_GT(line.at("tokens_per_second").get<double>(), 0.0);
    const double lr = 1e-5 + (0.005 - 1e-5) * 0.5 * (1.0 + std::cos(std::numbers::pi * (step - 1) / 40.0));
    EXPECT_NEAR(line.at("lr").get<double>(), lr, 1e-12);
    const double firing = line.at("firing_rate").get<double>();
    if (std::string(GetParam().arch) == "rwkv") {
      EXPECT_EQ(firing, 0.0);
    } else {
      EXPECT_GE(firing, 0.0);
      EXPECT_LT(firing, 1.0);
    }
  }
  std::vector<int> all(40);
  for (int i = 0; i < 40; ++i) all[static_cast<std::size_t>(i)] = i + 1;
  EXPECT_EQ(steps, all);
  EXPECT_EQ(evaluations, (std::vector<int>{0, 20, 40}));
  EXPECT_EQ(samples, 2u) << "none before the first step";
}

TEST_P(LearnTest, TheModelWritesIsMeasuredAndShown) {
  expect_success(run(args("model")));

  const ProgramResult written = run({"generate", "model", "--prompt", "the ", "--tokens", "60", "--quiet"});
  expect_success(written);
  EXPECT_TRUE(written.out.starts_with("the "));
  EXPECT_GT(written.out.size(), 40u);
  EXPECT_EQ(written.err, "");

  const ProgramResult measured = run({"eval", "model", "--data", "text.txt", "--json"});
  expect_success(measured);
  const Json json = Json::parse(measured.out);
  const std::string unit = json.at("unit").get<std::string>();
  EXPECT_EQ(unit, std::string(GetParam().tokenizer) == "bytes" ? "byte" : "character");
  for (const char* way : {"windows", "carried"}) {
    const Json& figures = json.at(way);
    const double loss = figures.at("loss").get<double>();
    EXPECT_EQ(figures.at("tokens").get<std::size_t>(), read("text.txt").size() - 1);
    EXPECT_GT(loss, 0.2) << way;  // the words are drawn at random: no model can know them all
    EXPECT_LT(loss, 2.2) << way;  // without learning: ln 16 or more
    EXPECT_NEAR(figures.at("bits_per_" + unit).get<double>(), loss / std::numbers::ln2, 1e-9);
    EXPECT_NEAR(figures.at("perplexity").get<double>(), std::exp(loss), 1e-6);
  }
  const ProgramResult table = run({"eval", "model", "--data", "text.txt"});
  expect_success(table);
  expect_words(table.out, {"windows of 64", "state carried along", "perplexity"});

  const ProgramResult shown = run({"inspect", "model"});
  expect_success(shown);
  expect_words(shown.out, {GetParam().arch, GetParam().tokenizer, GetParam().model_type, "emb.weight", "head.weight",
                           "parameters", "neurons"});
  std::int64_t stored = 0;
  const WeightFile weights = read_safetensors(at("model/model.safetensors"));
  for (const TensorView& tensor : weights.tensors()) stored += element_count(tensor);
  const ProgramResult shown_json = run({"inspect", "model", "--json"});
  expect_success(shown_json);
  EXPECT_EQ(Json::parse(shown_json.out).at("parameters").get<std::int64_t>(), stored);
  EXPECT_EQ(Json::parse(shown_json.out).at("tensors").size(), weights.tensors().size());
}

INSTANTIATE_TEST_SUITE_P(Kinds, LearnTest,
                         testing::Values(Kind{"spikegpt", "spikegpt", "RWKV", "chars", "vocab.json"},
                                         Kind{"rwkv", "rwkv", "RWKV", "chars", "vocab.json"},
                                         Kind{"event", "event", "RWKV", "chars", "vocab.json"},
                                         Kind{"spikegpt_bytes", "spikegpt", "RWKV", "bytes", "tokenizer.json"},
                                         Kind{"spikegpt_ffnpre", "spikegpt", "RWKV-ffnPre", "chars", "vocab.json"},
                                         Kind{"event_ffnpre", "event", "RWKV-ffnPre", "bytes", "tokenizer.json"}),
                         [](const auto& kind) { return std::string(kind.param.name); });

class EvalTest : public SmallRuns {};

TEST_F(EvalTest, OneWindowOverAllOfTheTextIsTheSameAsCarriedState) {
  make_model("model");
  write("short.txt", small_text(40));
  for (const char* length : {"1000", "1048576"}) {  // the latter must not cost memory for a million tokens
    const ProgramResult result =
        run({"eval", "model", "--data", "short.txt", "--json", "--ctx-len", length, "--batch-size", "4096"});
    expect_success(result);
    const Json json = Json::parse(result.out);
    EXPECT_NEAR(json.at("windows").at("loss").get<double>(), json.at("carried").at("loss").get<double>(), 1e-6);
  }
}

TEST_F(EvalTest, WindowsDoNotDependOnTheBatch) {
  make_model("model");
  std::vector<double> losses;
  for (const char* batch : {"1", "7"}) {
    const ProgramResult result = run({"eval", "model", "--data", "text.txt", "--json", "--batch-size", batch});
    expect_success(result);
    losses.push_back(Json::parse(result.out).at("windows").at("loss").get<double>());
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-6);
}

TEST_F(EvalTest, MaxTokensAndUnknownCharacters) {
  make_model("model");
  write("odd.txt", "the cat é the dog Ω the mat\n");
  const ProgramResult result = run({"eval", "model", "--data", "odd.txt", "--json", "--max-tokens", "5"});
  expect_success(result);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json.at("windows").at("tokens").get<int>(), 5);
  EXPECT_EQ(json.at("carried").at("tokens").get<int>(), 5);
  EXPECT_EQ(json.at("unknown").get<int>(), 0) << "they stand behind what is read";
  const ProgramResult all = run({"eval", "model", "--data", "odd.txt", "--json"});
  expect_success(all);
  EXPECT_EQ(Json::parse(all.out).at("unknown").get<int>(), 2);
  expect_words(all.err, {"odd.txt", "2 unknown characters", "U+00E9"});
}

TEST_F(EvalTest, HeldOutFileIsUsed) {
  write("valid.txt", "dog dog dog dog dog dog dog\n");
  const ProgramResult result = run(train_args("model", {"--steps", "2", "--valid", "valid.txt"}));
  expect_success(result);
  EXPECT_EQ(metrics("model").front().at("valid_tokens").get<int>(), 27);
}

class ShowTest : public SmallRuns {};

TEST_F(ShowTest, Presets) {
  const ProgramResult table = run({"inspect", "--presets"});
  expect_success(table);
  expect_words(table.out, {"nano", "tiny", "45m", "125m", "216m", "260m", "50277"});
  const ProgramResult json = run({"inspect", "--presets", "--json"});
  expect_success(json);
  const Json presets = Json::parse(json.out).at("presets");
  ASSERT_EQ(presets.size(), 6u);
  EXPECT_EQ(presets[4].at("name"), "216m");
  EXPECT_NEAR(presets[4].at("parameters").get<double>(), 215.4e6, 0.1e6);  // SPEC.md 8
}

TEST_F(ShowTest, EveryCommandExplainsItself) {
  for (const char* command : {"train", "generate", "eval", "inspect", "trace", "bench"}) {
    const ProgramResult result = run({command, "--help"});
    expect_success(result);
    expect_words(result.out, {"Usage: spikegpt ", command, "--help", "Example"});
    EXPECT_EQ(result.err, "");
  }
  const ProgramResult result = run({"--help"});
  expect_success(result);
  expect_words(result.out, {"train", "generate", "eval", "inspect", "trace", "bench"});
  expect_words(run({"--version"}).out, {"spikegpt "});
}

TEST_F(ShowTest, OutputThatCannotBeWrittenIsAFailure) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  make_model("model");
  ProgramOptions options = here();
  options.output = "/dev/full";
  for (const Args& args : {Args{"inspect", "model"}, Args{"generate", "model", "--prompt", "a", "--quiet"}}) {
    const ProgramResult result = run_program(args, options);
    expect_refused(result, 1, {"standard output"});
  }
}

class BenchTest : public SmallRuns {};

TEST_F(BenchTest, TrainingSteps) {
  const ProgramResult result = run({"bench", "train", "--preset", "nano", "--batch-size", "1", "--ctx-len", "16",
                                    "--steps", "2", "--json", "--arch", "event"});
  expect_success(result);
  const Json json = Json::parse(result.out).at("train");
  EXPECT_EQ(json.at("arch"), "event");
  EXPECT_EQ(json.at("ctx_len"), 16);
  EXPECT_GT(json.at("tokens_per_second").get<double>(), 0.0);
  EXPECT_GT(json.at("peak_memory_mb").get<double>(), 1.0);
  EXPECT_GT(json.at("limits").at("gflops").get<double>(), 0.0);
  EXPECT_GT(json.at("limits").at("read_gbytes").get<double>(), 0.0);
}

TEST_F(BenchTest, TheBreakdownAccountsForTheWholeStep) {
  const ProgramResult result = run({"bench", "train", "--preset", "nano", "--batch-size", "1", "--ctx-len", "16",
                                    "--steps", "3", "--json", "--precision", "f32"});
  expect_success(result);
  const Json json = Json::parse(result.out).at("train");
  std::map<std::string, Json> rows;
  double share = 0.0;
  double products = 0.0;
  for (const Json& row : json.at("breakdown")) {
    rows[row.at("name").get<std::string>()] = row;
    share += row.at("share").get<double>();
    EXPECT_GE(row.at("share").get<double>(), 0.0) << row.dump();
    if (row.contains("gflops")) products += row.at("share").get<double>();
  }
  EXPECT_NEAR(share, 1.0, 1e-9);
  EXPECT_NEAR(json.at("share_outside_products").get<double>(), 1.0 - products, 1e-9);
  const double layers = json.at("n_layer").get<double>();
  EXPECT_EQ(rows.at("WKV forward").at("calls").get<double>(), layers);
  EXPECT_EQ(rows.at("WKV backward").at("calls").get<double>(), layers);
  EXPECT_EQ(rows.at("spike scan backward").at("calls").get<double>(), 2 * layers);
  for (const char* kind :
       {"product forward, head", "product, input gradient, head", "product, weight gradient, head"}) {
    EXPECT_EQ(rows.at(kind).at("calls").get<double>(), 1.0) << kind;
  }
  EXPECT_EQ(rows.at("Adam").at("calls").get<double>(), 1.0);
}

TEST_F(BenchTest, ABaselineThatCannotRunIsRefused) {
  const Args bench = {"bench", "train", "--preset", "nano", "--ctx-len", "16"};
  Args no_script = bench;
  no_script.insert(no_script.end(), {"--baseline", "nowhere.py"});
  expect_refused(run(no_script), 1, {"nowhere.py", "does not exist"});
  Args wrong_arch = bench;
  wrong_arch.insert(wrong_arch.end(), {"--arch", "event", "--baseline", "nowhere.py"});
  expect_refused(run(wrong_arch), 1, {"event", "--baseline"});
}

TEST_F(BenchTest, Kernels) {
  const ProgramResult result = run({"bench", "kernels", "--preset", "nano", "--batch-size", "1", "--json"});
  expect_success(result);
  const Json json = Json::parse(result.out).at("kernels");
  EXPECT_GT(json.size(), 10u);
  for (const Json& kernel : json) {
    EXPECT_FALSE(kernel.at("name").get<std::string>().empty());
    EXPECT_GT(kernel.at("seconds").get<double>(), 0.0);
    EXPECT_TRUE(kernel.contains("gflops") != kernel.contains("gbytes")) << kernel.dump();
  }
}

}  // namespace
}  // namespace spikegpt::test
