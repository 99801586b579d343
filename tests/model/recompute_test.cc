// What the backward pass makes again instead of having kept it: memory, and the same bits.
#include <gtest/gtest.h>

#include "spikegpt/core/random.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"
#include "tests/support/model_case.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

struct RemakeCase {
  const char* arch;
  int layers;
  GemmPrecision precision;
};

class Remade : public testing::TestWithParam<RemakeCase> {
 protected:
  static constexpr std::int64_t kBatch = 2;
  static constexpr int kTokens = 21;

  Remade() : config_(small_config(GetParam().arch, {32, 19, kTokens})), parameters_(made()) {
    RandomStream random(3, RandomPurpose::kBatch);
    for (std::int64_t i = 0; i < 2 * kBatch * kTokens; ++i) {
      tokens_.push_back(static_cast<std::int32_t>(random.next_below(19)));
    }
  }

  FlatParameters made() {
    config_.n_layer = GetParam().layers;
    FlatParameters parameters(config_);
    initialise(config_, InitKind::kDefault, 1, parameters.data());
    // So that neurons fire: spikes are what the stream is made again from.
    for (const ParameterInfo& info : parameters.layout().infos()) {
      if (info.shape.size() != 2 || info.name == "emb.weight" || info.name == "head.weight") continue;
      for (float& weight : parameters.of(info)) weight *= 8.0f;
    }
    return parameters;
  }

  std::vector<float> gradients(bool recompute) const {
    NetworkOptions options;
    options.precision = GetParam().precision;
    options.plan = {kBatch, kTokens, true, recompute};
    const auto network = make_network(config_, options);
    network->set_parameters(parameters_.data());
    RunOptions run;
    run.dropout = {0.2f, 5, 7};
    std::vector<SiteCount> counts(spike_sites(config_).size());
    run.spike_counts = counts;
    const std::span<const std::int32_t> all(tokens_);
    network->forward({all.first(all.size() / 2), kBatch}, run);
    for (const SiteCount& count : counts) EXPECT_GT(count.events, 0);
    FlatParameters gradients(config_);
    network->losses_and_gradients({all.last(all.size() / 2), 1.0 / (kBatch * kTokens), 1e-4f}, gradients.data());
    return {gradients.data(), gradients.data() + gradients.size()};
  }

  ModelConfig config_;
  FlatParameters parameters_;
  std::vector<std::int32_t> tokens_;
};

TEST_P(Remade, GradientsAreThoseOfWholeBlocksRunAgain) {
  if (!can_multiply(GetParam().precision)) GTEST_SKIP() << "this CPU cannot multiply bf16";
  EXPECT_EQ(gradients(false), gradients(true));
}

INSTANTIATE_TEST_SUITE_P(
    All, Remade,
    testing::Values(RemakeCase{"spikegpt", 1, GemmPrecision::kF32}, RemakeCase{"spikegpt", 2, GemmPrecision::kF32},
                    RemakeCase{"spikegpt", 3, GemmPrecision::kF32}, RemakeCase{"spikegpt", 4, GemmPrecision::kF32},
                    RemakeCase{"spikegpt", 4, GemmPrecision::kBf16}, RemakeCase{"event", 3, GemmPrecision::kF32},
                    RemakeCase{"rwkv", 3, GemmPrecision::kF32}, RemakeCase{"feed_forward", 3, GemmPrecision::kF32},
                    RemakeCase{"leaky", 3, GemmPrecision::kF32},
                    RemakeCase{"spikegpt_after", 3, GemmPrecision::kF32},
                    RemakeCase{"event_after", 3, GemmPrecision::kF32},
                    RemakeCase{"event_payload", 3, GemmPrecision::kBf16},
                    RemakeCase{"rwkv_after", 3, GemmPrecision::kBf16}),
    [](const auto& test) {
      return std::string(test.param.arch) + std::to_string(test.param.layers) +
             std::string(name_of(test.param.precision));
    });

// Of the `45m` preset on bytes, as training holds it: activations; parameters, gradients and two moments in
// float; the forward pass's copy of the weights in bf16.
TEST(TrainingMemory, Of12LayersOf512Channels) {
  ModelConfig config = default_config("spikegpt");
  apply_preset("45m", config);
  config.vocab_size = 205;
  Arena sizing;
  plan_activations<Bf16>(config, {4, 1024, true, false}, sizing);
  const auto parameters = static_cast<std::size_t>(ParameterLayout(config).flat_size());
  EXPECT_LT(sizing.peak() + parameters * (4 * sizeof(float) + sizeof(Bf16)), 1'450'000'000u);
}

}  // namespace
}  // namespace spikegpt::test
