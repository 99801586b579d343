#include "spikegpt/neurons/exponential.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace spikegpt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(FastExp, RelativeErrorBelowTwoInTenMillion) {
  double worst = 0.0;
  float where = 0.0f;
  // Every 97th float of the range: about 23 million would be all of them.
  for (const float sign : {1.0f, -1.0f}) {
    const std::uint32_t end = std::bit_cast<std::uint32_t>(sign > 0.0f ? 88.37f : 87.3f);
    for (std::uint32_t bits = std::bit_cast<std::uint32_t>(1e-8f); bits <= end; bits += 97) {
      const float x = sign * std::bit_cast<float>(bits);
      const double exact = std::exp(static_cast<double>(x));
      const double error = std::abs(static_cast<double>(fast_exp(x)) - exact) / exact;
      if (error > worst) worst = error, where = x;
    }
  }
  EXPECT_LT(worst, 2e-7) << "at " << where;
}

TEST(FastExp, NeverFallsWhereItShouldRise) {
  // Rounding may cost a few units in the last place; the pieces of the reduction must not step down
  // by more.
  float previous = 0.0f;
  for (int i = -88000; i <= 88300; ++i) {
    const float now = fast_exp(static_cast<float>(i) * 1e-3f);
    ASSERT_GE(now, previous * 0.9999f) << i;
    previous = now;
  }
}

TEST(FastExp, ExactAndExtremeValues) {
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-0.0f), 1.0f);
  EXPECT_EQ(fast_exp(std::numeric_limits<float>::denorm_min()), 1.0f);
  EXPECT_EQ(fast_exp(1e-30f), 1.0f);
  for (const float x : {-87.4f, -88.0f, -104.0f, -1e10f, std::numeric_limits<float>::lowest(), -kInfinity}) {
    EXPECT_EQ(fast_exp(x), 0.0f) << x;
  }
  for (const float x : {88.5f, 89.0f, 1e10f, std::numeric_limits<float>::max(), kInfinity}) {
    EXPECT_EQ(fast_exp(x), kInfinity) << x;
  }
  EXPECT_GT(fast_exp(-87.3f), 0.0f);
  EXPECT_LT(fast_exp(88.37f), kInfinity);
}

TEST(FastExp, NotANumberStaysNotANumber) {
  EXPECT_TRUE(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(fast_exp(-std::numeric_limits<float>::quiet_NaN())));
}

TEST(Sigmoid, FollowsTheLogisticFunction) {
  for (int i = -8700; i <= 8700; ++i) {
    const float x = static_cast<float>(i) * 1e-2f;
    const double exact = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(static_cast<double>(sigmoid(x)), exact, 4e-7 * exact) << x;
  }
}

TEST(Sigmoid, Limits) {
  EXPECT_EQ(sigmoid(0.0f), 0.5f);
  for (const float x : {100.0f, 1e30f, kInfinity}) {
    EXPECT_EQ(sigmoid(x), 1.0f);
    EXPECT_EQ(sigmoid(-x), 0.0f);
  }
  EXPECT_TRUE(std::isnan(sigmoid(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace spikegpt
