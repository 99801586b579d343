// A model without blocks: the embedding goes through ln_out to the head, and nothing is remembered.
#include <gtest/gtest.h>

#include <cmath>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/parameters.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

constexpr std::int64_t kC = 16;
constexpr std::int64_t kV = 11;

// head (LN_out(x)), x the row of the embedding or its spikes.
std::vector<double> expected_logits(const ModelConfig& config, const float* parameters, std::int64_t token) {
  const ParameterLayout layout(config);
  const auto of = [&](const char* name) { return parameters + layout.find(name)->offset; };
  std::vector<double> x;
  for (std::int64_t c = 0; c < kC; ++c) {
    const float value = of("emb.weight")[token * kC + c];
    x.push_back(config.binary_embedding ? (value >= 0.0f ? 1.0 : 0.0) : static_cast<double>(value));
  }
  double mean = 0.0;
  double variance = 0.0;
  for (const double value : x) mean += value / kC;
  for (const double value : x) variance += (value - mean) * (value - mean) / kC;
  std::vector<double> logits(kV, 0.0);
  for (std::int64_t v = 0; v < kV; ++v) {
    for (std::int64_t c = 0; c < kC; ++c) {
      const double normal = (x[static_cast<std::size_t>(c)] - mean) / std::sqrt(variance + 1e-5);
      const double input = normal * of("ln_out.weight")[c] + of("ln_out.bias")[c];
      logits[static_cast<std::size_t>(v)] += of("head.weight")[v * kC + c] * input;
    }
  }
  return logits;
}

class NoBlocksTest : public testing::TestWithParam<const char*> {};

TEST_P(NoBlocksTest, TheHeadReadsTheEmbedding) {
  ModelConfig config = small_config(GetParam(), {.n_embd = kC, .vocab_size = kV, .ctx_len = 8});
  config.n_layer = 0;
  validate(config);
  AlignedBuffer<float> parameters(static_cast<std::size_t>(ParameterLayout(config).flat_size()));
  initialise(config, InitKind::kDefault, 1, parameters.data());
  const TemporaryDirectory folder;
  for (const WeightType type : {WeightType::kF32, WeightType::kInt8}) {
    PackedModel(config, parameters.data(), default_pack_options(config, type)).save(folder.path());
    const PackedModel model = PackedModel::load(folder.path());
    Session session(model);
    const std::vector<std::int32_t> tokens = {1, 2, 3};
    const std::vector<float> all = session.feed_all(tokens);
    session.reset();
    const double tolerance = type == WeightType::kF32 ? 1e-6 : 0.02;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const std::span<const float> logits = session.feed({&tokens[t], 1});
      const std::vector<double> expected = expected_logits(config, parameters.data(), tokens[t]);
      for (std::size_t v = 0; v < expected.size(); ++v) {
        EXPECT_EQ(logits[v], all[t * kV + v]);
        EXPECT_NEAR(logits[v], expected[v], tolerance);
      }
    }
    EXPECT_EQ(session.firing_rate(), 0.0);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, NoBlocksTest, testing::Values("spikegpt", "rwkv", "event"));

}  // namespace
}  // namespace spikegpt::test
