#include "spikegpt/infer/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

// Shares of each token over many draws from fixed logits.
template <std::size_t N>
std::array<double, N> shares(const SamplerConfig& config, const std::array<float, N>& logits, int draws) {
  Sampler sampler(config);
  std::array<double, N> share{};
  for (int i = 0; i < draws; ++i) share[static_cast<std::size_t>(sampler.sample(logits))] += 1.0 / draws;
  return share;
}

const std::array<float, 4> kLogits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};

TEST(Sampler, DrawsByProbability) {
  SamplerConfig config;
  config.top_p = 1.0;
  const auto share = shares(config, kLogits, 20000);
  EXPECT_NEAR(share[0], 0.5, 0.015);
  EXPECT_NEAR(share[1], 0.3, 0.015);
  EXPECT_NEAR(share[2], 0.15, 0.015);
  EXPECT_NEAR(share[3], 0.05, 0.015);
}

TEST(Sampler, TopPKeepsTheFewestThatCover) {
  SamplerConfig config;
  config.top_p = 0.7;  // 0.5 + 0.3 covers it
  const auto share = shares(config, kLogits, 20000);
  EXPECT_NEAR(share[0], 0.625, 0.015);
  EXPECT_NEAR(share[1], 0.375, 0.015);
  EXPECT_EQ(share[2] + share[3], 0.0);
}

TEST(Sampler, TemperatureComesAfterTheCut) {
  SamplerConfig config;
  config.top_p = 0.7;
  config.temperature = 2.0;
  const auto share = shares(config, kLogits, 20000);
  const double root = std::sqrt(0.5) / (std::sqrt(0.5) + std::sqrt(0.3));
  EXPECT_NEAR(share[0], root, 0.015);
  EXPECT_EQ(share[2], 0.0);
}

TEST(Sampler, GreedyAndTopK) {
  SamplerConfig config;
  config.temperature = 0.0;
  EXPECT_NEAR(shares(config, kLogits, 10)[0], 1.0, 1e-9);
  config = {};
  config.top_k = 1;
  EXPECT_NEAR(shares(config, kLogits, 10)[0], 1.0, 1e-9);
}

TEST(Sampler, RepetitionPenaltyPushesRecentTokensAway) {
  SamplerConfig config;
  config.temperature = 0.0;
  config.repetition_penalty = 100.0;
  config.repetition_window = 2;
  Sampler sampler(config);
  const std::array<float, 4> logits = {2.0f, 1.5f, 1.0f, -1.0f};
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_EQ(sampler.sample(logits), 1);
  EXPECT_EQ(sampler.sample(logits), 2);
  EXPECT_EQ(sampler.sample(logits), 0) << "out of the window again";
}

TEST(Sampler, SeedDecides) {
  SamplerConfig config;
  config.top_p = 1.0;
  Sampler one(config);
  Sampler same(config);
  config.seed = 2;
  Sampler other(config);
  int differences = 0;
  for (int i = 0; i < 100; ++i) {
    const auto token = one.sample(kLogits);
    EXPECT_EQ(token, same.sample(kLogits));
    differences += token != other.sample(kLogits) ? 1 : 0;
  }
  EXPECT_GT(differences, 10);
}

TEST(Sampler, RefusesNonsense) {
  SamplerConfig config;
  config.top_p = 0.0;
  EXPECT_THROW(Sampler{config}, Error);
  config = {};
  config.temperature = -1.0;
  EXPECT_THROW(Sampler{config}, Error);
  config = {};
  config.repetition_penalty = 0.0;
  EXPECT_THROW(Sampler{config}, Error);
}

}  // namespace
}  // namespace spikegpt
