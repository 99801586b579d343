// The trace file: what is in it, and that it agrees with the model it came from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "spikegpt/model/config.h"
#include "spikegpt/model/architecture.h"
#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

constexpr int kTokens = 7;

class TraceTest : public SmallRuns, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { make_model("model", {"--steps", "20", "--lr", "0.01", "--arch", GetParam()}); }

  ModelConfig config() const { return load_config(at("model/config.json")); }
};

std::vector<std::int64_t> shape_of(const WeightFile& file, const std::string& name) {
  const TensorView* tensor = file.find(name);
  return tensor == nullptr ? std::vector<std::int64_t>{-1} : tensor->shape;
}

// Mean negative log-likelihood of the targets by the textbook, from logits [T, V].
double loss_of(const std::vector<float>& logits, const std::vector<int>& targets) {
  const std::size_t V = logits.size() / targets.size();
  double total = 0.0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    double sum = 0.0;
    for (std::size_t v = 0; v < V; ++v) sum += std::exp(static_cast<double>(logits[t * V + v]));
    total += std::log(sum) - static_cast<double>(logits[t * V + static_cast<std::size_t>(targets[t])]);
  }
  return total / static_cast<double>(targets.size());
}

TEST_P(TraceTest, HoldsLogitsSpikesAndPotentials) {
  const ProgramResult result = run({"trace", "model", "--tokens", "1,5,3,2,8,1,0", "--out", "trace.safetensors"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
  const WeightFile trace = read_safetensors(at("trace.safetensors"));
  EXPECT_EQ(shape_of(trace, "logits"), (std::vector<std::int64_t>{1, kTokens, config().vocab_size}));
  EXPECT_EQ(shape_of(trace, "tokens"), (std::vector<std::int64_t>{1, kTokens}));
  for (const float logit : floats_of(trace, "logits")) EXPECT_TRUE(std::isfinite(logit));

  std::size_t expected = 2;
  std::int64_t fired = 0;
  for (const SpikeSite& site : spike_sites(config())) {
    expected += 2;
    const std::string potential = "membrane." + site.name.substr(std::string("spikes.").size());
    const std::vector<std::int64_t> shape = {1, kTokens, site.neurons};
    ASSERT_EQ(shape_of(trace, site.name), shape) << site.name;
    ASSERT_EQ(shape_of(trace, potential), shape) << potential;
    const TensorView& spikes = *trace.find(site.name);
    const bool graded = config().spike_levels > 1;
    EXPECT_EQ(spikes.dtype, graded ? DType::kI8 : DType::kU8);
    const std::vector<float> membrane = floats_of(trace, potential);
    const Thresholds thresholds = neuron_parameters(config(), site.place).thresholds();
    for (std::size_t i = 0; i < membrane.size(); ++i) {
      const int spike = static_cast<signed char>(spikes.data[i]);
      fired += std::abs(spike);
      if (thresholds.has_dead_zone()) {  // silent below the threshold, then the potential in steps
        const float sent = static_cast<float>(spike) * thresholds.unit();
        ASSERT_EQ(spike != 0, std::abs(membrane[i]) >= thresholds.first) << site.name << " " << membrane[i];
        if (spike != 0) {
          ASSERT_NEAR(sent, membrane[i], 0.5f * thresholds.unit() + 1e-5f) << site.name;
        }
        continue;
      }
      if (graded) {  // a spike for every threshold: the potential lies between as many and one more
        ASSERT_LE(std::abs(spike), config().spike_levels) << site.name;
        ASSERT_LE(static_cast<float>(std::abs(spike)), std::abs(membrane[i]) + 1e-6f) << site.name;
        if (std::abs(spike) < config().spike_levels && (membrane[i] > 0.0f || spike < 0)) {
          ASSERT_GE(static_cast<float>(std::abs(spike)) + 1.0f, std::abs(membrane[i]) - 1e-6f) << site.name;
        }
        continue;
      }
      ASSERT_TRUE(spike == 0 || spike == 1) << site.name;
      // The threshold is 1; one rounding lies between the potential and the distance that decides.
      ASSERT_TRUE(spike == 1 ? membrane[i] >= 1.0f : membrane[i] <= 1.0f) << site.name << " " << membrane[i];
    }
  }
  EXPECT_EQ(trace.tensors().size(), expected);
  EXPECT_EQ(fired > 0, std::string(GetParam()) != "rwkv");
  EXPECT_EQ(config_from_json(trace.metadata().at("config"), "trace").arch, GetParam());
}

TEST_P(TraceTest, WithTargetsAlsoLossAndGradients) {
  expect_success(
      run({"trace", "model", "--tokens", "1,5,3,2,8,1,0", "--targets", "5,3,2,8,1,0,4", "--out", "trace.safetensors"}));
  const WeightFile trace = read_safetensors(at("trace.safetensors"));
  const std::vector<float> loss = floats_of(trace, "loss");
  ASSERT_EQ(loss.size(), 1u);
  EXPECT_NEAR(loss[0], loss_of(floats_of(trace, "logits"), {5, 3, 2, 8, 1, 0, 4}), 1e-5);
  EXPECT_EQ(shape_of(trace, "targets"), (std::vector<std::int64_t>{1, kTokens}));
  const WeightFile model = read_safetensors(at("model/model.safetensors"));
  for (const TensorView& parameter : model.tensors()) {
    ASSERT_EQ(shape_of(trace, "grad." + parameter.name), parameter.shape) << parameter.name;
    double norm = 0.0;
    for (const float g : floats_of(trace, "grad." + parameter.name)) norm += static_cast<double>(g * g);
    EXPECT_TRUE(std::isfinite(norm));
    const bool near_the_loss = parameter.name == "head.weight" || parameter.name == "ln_out.weight";
    EXPECT_TRUE(norm > 0.0 || !near_the_loss) << parameter.name;
  }
}

// A small step against the gradient of the head must lower the loss by the step times the squared
// gradient.
TEST_P(TraceTest, TheGradientOfTheHeadPredictsTheChangeOfTheLoss) {
  const Args args = {"trace", "model", "--tokens", "1,5,3,2,8,1,0", "--targets", "5,3,2,8,1,0,4", "--out"};
  const auto trace_to = [&](const std::string& file) {
    Args all = args;
    all.push_back(file);
    expect_success(run(all));
    return read_safetensors(at(file));
  };
  const WeightFile before = trace_to("before.safetensors");
  const std::vector<float> gradient = floats_of(before, "grad.head.weight");
  constexpr float kStep = 1e-2f;
  double predicted = 0.0;
  for (const float g : gradient) predicted += static_cast<double>(kStep * g * g);
  change_tensors(at("model/model.safetensors"), [&](OwnedTensors& tensors) {
    OwnedTensor& head = tensors.at("head.weight");
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      float value = 0.0f;
      std::memcpy(&value, head.data.data() + i * sizeof value, sizeof value);
      set_float(head, i, value - kStep * gradient[i]);
    }
  });
  const WeightFile after = trace_to("after.safetensors");
  const std::vector<int> targets = {5, 3, 2, 8, 1, 0, 4};
  const double change = loss_of(floats_of(before, "logits"), targets) - loss_of(floats_of(after, "logits"), targets);
  EXPECT_GT(predicted, 0.0);
  EXPECT_NEAR(change, predicted, 0.05 * predicted);
}

TEST_P(TraceTest, APromptATokenFileAndTheWriterAgree) {
  expect_success(run({"trace", "model", "--prompt", "the cat", "--out", "a.safetensors"}));
  const WeightFile by_prompt = read_safetensors(at("a.safetensors"));
  const Json vocabulary = Json::parse(read("model/vocab.json"));
  std::map<std::string, std::string> id_of;
  for (const auto& [id, character] : vocabulary.items()) id_of[character.get<std::string>()] = id;
  std::string ids;
  for (const char c : std::string("the cat")) ids += id_of.at(std::string(1, c)) + "\n ";
  write("ids.txt", ids);
  expect_success(run({"trace", "model", "--tokens", "@ids.txt", "--out", "b.safetensors"}));
  expect_same_tensors(at("a.safetensors"), at("b.safetensors"));

  const std::vector<float> logits = floats_of(by_prompt, "logits");
  const auto last = logits.end() - config().vocab_size;
  const auto likeliest = std::max_element(last, logits.end()) - last;
  const ProgramResult written =
      run({"generate", "model", "--prompt", "the cat", "--no-echo", "--quiet", "--temperature", "0", "--tokens", "1"});
  expect_success(written);
  EXPECT_EQ(written.out, vocabulary.at(std::to_string(likeliest)).get<std::string>() + "\n");
}

INSTANTIATE_TEST_SUITE_P(Archs, TraceTest, testing::Values("spikegpt", "rwkv", "event"),
                         [](const auto& arch) { return std::string(arch.param); });

class TraceFaultTest : public SmallRuns {};

TEST_F(TraceFaultTest, BadArgumentsAreRefusedAndNoFileIsWritten) {
  make_model("model");
  expect_success(run({"trace", "model", "--tokens", "1", "--out", "earlier.safetensors"}));
  const std::string earlier = read("earlier.safetensors");
  const auto trace = [&](const Args& more) {
    Args args = {"trace", "model", "--out", "earlier.safetensors"};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  };
  expect_refused(trace({}), 1, {"--tokens or --prompt"});
  expect_refused(trace({"--tokens", "1,99"}), 1, {"token 99", "position 1", "vocabulary of "});
  expect_refused(trace({"--tokens", "-1"}), 1, {"token -1", "position 0"});
  expect_refused(trace({"--tokens", "1,x"}), 1, {"--tokens", "such as 5,17,3", "\"x\""});
  expect_refused(trace({"--tokens", "1,99999999999"}), 1, {"--tokens", "99999999999"});
  expect_refused(trace({"--tokens", ","}), 1, {"--tokens holds no token ids"});
  expect_refused(trace({"--tokens", "@none.txt"}), 1, {"none.txt", "No such file"});
  expect_refused(trace({"--tokens", "1,2,3", "--targets", "1,2"}), 1, {"2 targets for 3 tokens"});
  expect_refused(trace({"--tokens", "1,2", "--targets", "1,77"}), 1, {"token 77", "vocabulary"});
  expect_refused(run({"trace", "model", "--tokens", "1"}), 2, {"--out"});
  EXPECT_EQ(read("earlier.safetensors"), earlier);
  expect_refused(run({"trace", "model", "--tokens", "1", "--out", "text.txt/trace"}), 1,
                 {"text.txt/trace", "text.txt is not a folder"});
}

}  // namespace
}  // namespace spikegpt::test
