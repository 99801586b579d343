#include "spikegpt/neurons/surrogate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "tests/kernels/lif_cases.h"
#include "tests/support/finite_difference.h"
#include "tests/support/scalar_reference.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

double gradient(const Surrogate& surrogate, double z) {
  double result = 0.0;
  with_surrogate(surrogate, [&](const auto& f) { result = static_cast<double>(f.gradient(static_cast<float>(z))); });
  return result;
}
double primitive(const Surrogate& surrogate, double z) {
  double result = 0.0;
  with_surrogate(surrogate, [&](const auto& f) { result = static_cast<double>(f.primitive(static_cast<float>(z))); });
  return result;
}

class SurrogateTest : public testing::TestWithParam<SurrogateKind> {};

TEST_P(SurrogateTest, IsTheDerivativeOfItsPrimitive) {
  for (const float alpha : {0.5f, 1.0f, 2.0f, 4.0f}) {
    const Surrogate surrogate{GetParam(), alpha};
    for (int i = -300; i <= 300; ++i) {
      // Multiples of 1/64 plus a bit: no kink (0, 1/alpha) within the step; all numbers exact in
      // float.
      const double z = i / 64.0 + 1.0 / 128.0;
      const double slope = finite_difference([&](double x) { return primitive(surrogate, x); }, z, 1.0 / 512.0);
      // The rounding of the primitive, 6e-8, over the step.
      ASSERT_NEAR(gradient(surrogate, z), slope, 1e-4) << "z " << z << ", alpha " << alpha;
    }
  }
}

TEST_P(SurrogateTest, FollowsItsDefinition) {
  for (const float alpha : {0.5f, 1.0f, 2.0f, 4.0f}) {
    const Surrogate surrogate{GetParam(), alpha};
    for (int i = -1000; i <= 1000; ++i) {
      const double z = i / 128.0;
      const reference::SurrogateValue expected = reference::surrogate(surrogate, z);
      ASSERT_NEAR(gradient(surrogate, z), expected.gradient, 1e-6 * static_cast<double>(alpha)) << z;
      ASSERT_NEAR(primitive(surrogate, z), expected.primitive, 1e-6 * (1.0 + std::abs(expected.primitive))) << z;
    }
  }
}

TEST_P(SurrogateTest, TheSumOfTwoIsTheSum) {
  for (const float alpha : {0.5f, 2.0f}) {
    with_surrogate({GetParam(), alpha}, [&](const auto& f) {
      std::vector<float> distances = {1e30f, -1e30f, 3e4f};
      for (int i = -64; i <= 64; ++i) distances.push_back(static_cast<float>(i) / 8.0f);
      for (const float a : distances) {
        for (const float b : distances) {
          const float sum = f.gradient(a) + f.gradient(b);
          ASSERT_NEAR(gradient_sum(f, a, b), sum, 1e-6f * sum + 1e-12f) << a << ", " << b;
        }
      }
      EXPECT_TRUE(std::isnan(gradient_sum(f, std::nanf(""), 0.0f)) || GetParam() == SurrogateKind::kStraightThrough ||
                  GetParam() == SurrogateKind::kPiecewiseQuadratic);
    });
  }
}

// And the reference against itself, finely: what both call a gradient is the derivative.
TEST_P(SurrogateTest, ReferenceIsTheDerivativeOfItsPrimitive) {
  const Surrogate surrogate{GetParam(), 2.0f};
  for (int i = -300; i <= 300; ++i) {
    const double z = i / 64.0 + 1.0 / 128.0;
    const double slope = finite_difference([&](double x) { return reference::surrogate(surrogate, x).primitive; }, z);
    ASSERT_NEAR(reference::surrogate(surrogate, z).gradient, slope, 1e-9) << z;
  }
}

TEST_P(SurrogateTest, HalfASpikeAtTheThresholdAllOfItFarAbove) {
  const Surrogate surrogate{GetParam(), 2.0f};
  if (GetParam() == SurrogateKind::kStraightThrough) {
    EXPECT_EQ(primitive(surrogate, -3.5), -3.5);
    EXPECT_EQ(gradient(surrogate, 1e10), 1.0);
    return;
  }
  EXPECT_NEAR(primitive(surrogate, 0.0), 0.5, 1e-7);
  EXPECT_NEAR(primitive(surrogate, 1e6), 1.0, 1e-6);
  EXPECT_NEAR(primitive(surrogate, -1e6), 0.0, 1e-6);
  for (const double far : {1e6, 1e30}) {
    EXPECT_NEAR(gradient(surrogate, far), 0.0, 1e-6);
    EXPECT_NEAR(gradient(surrogate, -far), 0.0, 1e-6);
  }
  double previous = 0.0;
  for (int i = -1000; i <= 1000; ++i) {
    const double z = i / 64.0;
    ASSERT_GE(primitive(surrogate, z), previous - 1e-7) << z;
    ASSERT_GE(gradient(surrogate, z), 0.0) << z;
    ASSERT_NEAR(gradient(surrogate, z), gradient(surrogate, -z), 1e-6) << z;
    ASSERT_LE(gradient(surrogate, z), gradient(surrogate, 0.0)) << z;
    previous = primitive(surrogate, z);
  }
}

TEST_P(SurrogateTest, NameRoundTrips) {
  EXPECT_EQ(surrogate_kind(name_of(GetParam())), GetParam());
  EXPECT_NE(surrogate_names().find(name_of(GetParam())), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, SurrogateTest, testing::ValuesIn(all_surrogates()),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(Surrogates, DefaultIsThatOfSpikeGpt) {
  // SPEC.md 1: g = (alpha / 2) / (1 + (pi / 2 alpha z)^2) with alpha = 2.
  EXPECT_EQ(Surrogate{}.kind, SurrogateKind::kAtan);
  EXPECT_NEAR(gradient({}, 0.0), 1.0, 1e-7);
  EXPECT_NEAR(gradient({}, 0.25), 1.0 / (1.0 + std::pow(3.14159265358979 / 4.0, 2)), 1e-7);
}

TEST(Surrogates, UnknownNameIsAnErrorThatListsTheKnown) {
  expect_error(ErrorKind::kInvalidArgument, {"\"arctan\"", "atan", "straight_through", "piecewise_exp"},
               [] { surrogate_kind("arctan"); });
  expect_error(ErrorKind::kInvalidArgument, {"\"\""}, [] { surrogate_kind(""); });
  expect_error(ErrorKind::kInvalidArgument, {"\"Atan\""}, [] { surrogate_kind("Atan"); });
}

TEST(Surrogates, KindWithoutANameIsABug) { EXPECT_THROW(name_of(static_cast<SurrogateKind>(99)), Bug); }

}  // namespace
}  // namespace spikegpt::test
