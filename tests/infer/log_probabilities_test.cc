#include "spikegpt/infer/log_probabilities.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "spikegpt/core/error.h"

namespace spikegpt::test {
namespace {

TEST(LogProbabilities, AreThoseOfTheSoftmax) {
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f), std::log(2.0f)};
  EXPECT_NEAR(log_probability(logits, 0), std::log(0.1), 1e-7);
  EXPECT_NEAR(log_probability(logits, 2), std::log(0.5), 1e-7);
  const auto top = likeliest(logits, 3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].token, 2);
  EXPECT_EQ(top[1].token, 1) << "of equals the smaller id";
  EXPECT_EQ(top[2].token, 3);
  EXPECT_NEAR(top[2].log_probability, std::log(0.2), 1e-7);
  EXPECT_EQ(likeliest(logits, 9).size(), 4u);
  EXPECT_TRUE(likeliest(logits, 0).empty());
}

TEST(LogProbabilities, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {1e30f, -1e30f, 1e30f};
  EXPECT_NEAR(log_probability(logits, 0), std::log(0.5), 1e-12);
  EXPECT_LT(log_probability(logits, 1), -1e30);
}

TEST(LogProbabilities, NumbersThatAreNoneAreRefused) {
  const std::vector<float> logits = {0.0f, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(log_probability(logits, 0), Error);
  EXPECT_THROW(likeliest(logits, 1), Error);
}

}  // namespace
}  // namespace spikegpt::test
