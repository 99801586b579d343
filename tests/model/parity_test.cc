// Against the PyTorch reference at sizes whose weights are too large to keep: a vocabulary of 50277, 1024 tokens, one
// token, and whole checkpoints in half precision. tools/reference/make_parity.py computes the same weights by the same
// hash.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "spikegpt/model/import.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/pth_reader.h"
#include "spikegpt/model/architecture.h"
#include "tests/support/model_case.h"

namespace spikegpt::test {
namespace {

using nlohmann::json;

json parity_file() {
  std::ifstream file(golden_folder() / "parity.json");
  return json::parse(file);
}

// Uniform in [-1, 1): element i of a parameter.
double hashed(std::uint64_t seed, std::uint64_t tensor, std::uint64_t i) {
  constexpr std::uint64_t kMask = 0xffffffffu;
  std::uint64_t x = (i * 2654435761u + seed * 40503u + tensor * 2246822519u) & kMask;
  x = ((x ^ (x >> 16)) * 2146121005u) & kMask;
  x = ((x ^ (x >> 15)) * 2221713035u) & kMask;
  x ^= x >> 16;
  return static_cast<double>(x) / 2147483648.0 - 1.0;
}

struct Range {
  double middle;
  double width;
};
Range range_of(const ParameterInfo& info) {
  const std::string& name = info.name;
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has(".ln") || name.starts_with("ln_out")) return name.ends_with("weight") ? Range{1.5, 0.5} : Range{0.0, 0.3};
  if (has("time_mix")) return {0.5, 0.45};
  if (has("time_decay")) return {-1.0, 2.0};
  if (has("time_first")) return {-0.5, 1.0};
  if (has("gain")) return {6.0, 2.0};
  if (name == "emb.weight" || name == "head.weight") return {0.0, 1.0};
  const bool strong = has(".output.") || has(".ffn.value.") || has(".ffnPre.value.");
  return {0.0, (strong ? 9.0 : 2.0) / std::sqrt(static_cast<double>(info.shape[1]))};
}

// The reference numbers the parameters in the order of the official file, which is that of the layout but for the
// order inside a layer.
std::vector<std::string> reference_order(const ModelConfig& config) {
  std::vector<std::string> names = {"emb.weight"};
  const auto norm = [&](const std::string& name) { names.insert(names.end(), {name + ".weight", name + ".bias"}); };
  const auto channel_mix = [&](const std::string& name) {
    for (const char* part : {".time_mix_k", ".time_mix_r", ".key.weight", ".receptance.weight", ".value.weight"})
      names.push_back(name + part);
    if (config.arch == "event") names.push_back(name + ".gain");
  };
  for (int i = 0; i < config.n_layer; ++i) {
    const std::string name = fmt::format("blocks.{}", i);
    if (i == 0) norm(name + ".ln0");
    norm(name + ".ln1");
    norm(name + ".ln2");
    if (i == 0 && config.model_type == "RWKV-ffnPre") {
      channel_mix(name + ".ffnPre");
    } else {
      for (const char* part : {".time_decay", ".time_first", ".time_mix_k", ".time_mix_v", ".time_mix_r", ".key.weight",
                               ".value.weight", ".receptance.weight", ".output.weight"}) {
        names.push_back(name + ".att" + part);
      }
      if (config.arch == "event") names.push_back(name + ".att.gain");
    }
    channel_mix(name + ".ffn");
  }
  norm("ln_out");
  names.push_back("head.weight");
  return names;
}

void fill(const ModelConfig& config, std::uint64_t seed, const FlatParameters& parameters) {
  const std::vector<std::string> order = reference_order(config);
  ASSERT_EQ(order.size(), parameters.layout().infos().size());
  for (std::size_t tensor = 0; tensor < order.size(); ++tensor) {
    const ParameterInfo* info = parameters.layout().find(order[tensor]);
    ASSERT_NE(info, nullptr) << order[tensor];
    const Range range = range_of(*info);
    const std::span<float> values = parameters.of(*info);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(range.middle + range.width * hashed(seed, tensor, i));
    }
  }
}

// Logits, loss and events of a case, in one pass and token by token.
void expect_case(const json& expected, const ModelConfig& config, const float* parameters) {
  SCOPED_TRACE(expected["name"].get<std::string>());
  const auto tokens = expected["tokens"].get<std::vector<std::int32_t>>();
  const std::span<const std::int32_t> idx = std::span(tokens).first(tokens.size() - 1);
  const std::span<const std::int32_t> targets = std::span(tokens).subspan(1);
  const auto T = static_cast<std::int64_t>(idx.size());
  const auto V = static_cast<std::size_t>(config.vocab_size);
  NetworkOptions options;
  options.plan.tokens = T;
  const auto network = make_network(config, options);
  network->set_parameters(parameters);
  const std::vector<SpikeSite> sites = spike_sites(config);
  std::vector<SiteCount> events(sites.size());
  RunOptions run;
  run.spike_counts = events;
  network->forward({idx}, run);
  std::vector<float> logits(idx.size() * V);
  network->logits(0, T, logits.data());
  const double loss = mean_loss(network->losses(targets));
  EXPECT_NEAR(loss, expected["loss"].get<double>(), 2e-5 * loss);

  std::vector<float> stepped(logits.size());
  std::vector<SiteCount> stepped_events(events.size());
  RecurrentState state(config, 1);
  RunOptions step;
  step.state_in = &state;
  step.state_out = &state;
  step.spike_counts = stepped_events;
  for (std::size_t t = 0; t < idx.size(); ++t) {
    network->forward({idx.subspan(t, 1)}, step);
    network->logits(0, 1, stepped.data() + t * V);
  }
  for (const json& sample : expected["logits"]) {
    const std::size_t at = sample[0].get<std::size_t>() * V + sample[1].get<std::size_t>();
    ASSERT_NEAR(logits[at], sample[2].get<float>(), 1e-4f) << sample;
    ASSERT_NEAR(stepped[at], sample[2].get<float>(), 1e-4f) << "step by step " << sample;
  }
  for (std::size_t site = 0; site < events.size(); ++site) {
    const std::string& name = sites[site].name;
    EXPECT_EQ(events[site].events, expected["events"].at(name).get<std::int64_t>()) << name;
    EXPECT_EQ(stepped_events[site].events, events[site].events) << name;
  }
}

class ParityTest : public testing::TestWithParam<std::string> {};

TEST_P(ParityTest, AgreesWithTheReference) {
  const json file = parity_file();
  for (const json& expected : file["cases"]) {
    if (expected["name"] != GetParam()) continue;
    const ModelConfig config = config_from_json(expected["config"].dump(), "parity.json");
    const FlatParameters parameters(config);
    fill(config, expected["seed"].get<std::uint64_t>(), parameters);
    return expect_case(expected, config, parameters.data());
  }
  FAIL() << "no such case in parity.json";
}

INSTANTIATE_TEST_SUITE_P(All, ParityTest,
                         testing::Values("spikegpt_v50277", "rwkv_v50277", "event_v50277", "spikegpt_t1024",
                                         "rwkv_t1024", "event_t1024", "spikegpt_t1", "rwkv_ffnpre_t1",
                                         "event_ffnpre_t1"),
                         [](const auto& test) { return test.param; });

TEST(Parity, WholeCheckpointsInHalfPrecision) {
  const json all = parity_file();
  for (const json& expected : all["checkpoints"]) {
    const auto path = golden_folder() / fmt::format("parity_{}.pth", expected["name"].get<std::string>());
    const WeightFile file = read_pth(path);
    ModelConfig config = default_config("spikegpt");
    infer_config(file, config);
    EXPECT_EQ(config.n_layer, 2);
    EXPECT_EQ(config.n_embd, 8);
    EXPECT_EQ(config.vocab_size, 19);
    const ParameterLayout layout(config);
    AlignedBuffer<float> parameters(static_cast<std::size_t>(layout.flat_size()));
    read_parameters(file, layout, parameters.data());
    expect_case(expected, config, parameters.data());
  }
}

}  // namespace
}  // namespace spikegpt::test
