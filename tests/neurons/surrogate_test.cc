#include "spikegpt/neurons/surrogate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "tests/kernels/lif_cases.h"
#include "tests/support/finite_difference.h"
#include "tests/support/npz.h"
#include "tests/support/scalar_reference.h"
#include "tests/support/shared_data.h"
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

// Those with kinks, or with primitives that leave [0, 1]: where a kink lies, no derivative is asked for.
struct FurtherCase {
  Surrogate surrogate;
  std::vector<double> kinks;
};
std::vector<FurtherCase> further_surrogates() {
  using Kind = SurrogateKind;
  return {{{Kind::kSuperSpike, 1.0f}, {}},
          {{Kind::kSuperSpike, 2.7f}, {}},
          {{Kind::kNonzeroSignLogAbs, 1.0f}, {}},
          {{Kind::kNonzeroSignLogAbs, 3.2f}, {}},
          {{Kind::kPiecewiseLeakyRelu, 1.0f, 0.01f}, {-1.0, 1.0}},
          {{Kind::kPiecewiseLeakyRelu, 0.6f, 0.2f}, {-0.6, 0.6}},
          {{Kind::kSquarewaveFourierSeries, 8.0f, 2.0f}, {}},
          {{Kind::kSquarewaveFourierSeries, 5.0f, 7.0f}, {}},
          {{Kind::kS2nn, 4.0f, 1.0f}, {0.0}},
          {{Kind::kS2nn, 1.5f, 0.3f}, {0.0}},
          {{Kind::kQPseudoSpike, 2.0f}, {}},
          {{Kind::kQPseudoSpike, 1.2f}, {}},
          {{Kind::kQPseudoSpike, 6.0f}, {}},
          {{Kind::kLeakyKRelu, 1.0f, 0.1f}, {0.0}},
          {{Kind::kLeakyKRelu, 2.5f, 0.0f}, {0.0}},
          {{Kind::kFakeNumericalGradient, 0.3f}, {}},
          {{Kind::kFakeNumericalGradient, 2.0f}, {-0.5, 0.5}},
          {{Kind::kLogTailedRelu, 0.1f}, {0.0, 1.0}},
          {{Kind::kLogTailedRelu, 0.0f}, {0.0, 1.0}},
          {{Kind::kRect, 1.0f}, {-0.5, 0.5}},
          {{Kind::kRect, 3.0f}, {-1.0 / 6.0, 1.0 / 6.0}}};
}

TEST(Surrogates, FurtherOnesAreTheDerivativesOfTheirPrimitives) {
  for (const FurtherCase& further : further_surrogates()) {
    const Surrogate& surrogate = further.surrogate;
    SCOPED_TRACE(fmt::format("{} {} {}", name_of(surrogate.kind), surrogate.alpha, surrogate.beta));
    check_surrogate(surrogate);
    const double largest = reference::surrogate(surrogate, 1e-9).gradient;  // sums of terms round as it does
    for (int i = -300; i <= 300; ++i) {
      const double z = i / 64.0 + 1.0 / 128.0;
      const reference::SurrogateValue expected = reference::surrogate(surrogate, z);
      ASSERT_NEAR(gradient(surrogate, z), expected.gradient, 3e-6 * (1.0 + largest)) << z;
      ASSERT_NEAR(primitive(surrogate, z), expected.primitive, 2e-6 * (1.0 + std::abs(expected.primitive))) << z;
      bool smooth = true;
      for (const double kink : further.kinks) smooth &= std::abs(z - kink) > 1.0 / 200.0;
      if (!smooth) continue;
      const double slope = finite_difference([&](double x) { return primitive(surrogate, x); }, z, 1.0 / 512.0);
      // Half of the sums' rounding, 1e-7, over the step; and what a step of 1/512 misses of a bend.
      ASSERT_NEAR(gradient(surrogate, z), slope, 6e-4) << "z " << z;
      const double fine = finite_difference([&](double x) { return reference::surrogate(surrogate, x).primitive; }, z);
      ASSERT_NEAR(expected.gradient, fine, 1e-8) << z;
    }
    for (const double far : {-1e30, -1e10, 1e10, 1e30}) ASSERT_TRUE(std::isfinite(gradient(surrogate, far))) << far;
    ASSERT_TRUE(std::isfinite(gradient(surrogate, 0.0)));
    EXPECT_EQ(surrogate_kind(name_of(surrogate.kind)), surrogate.kind);
  }
}

TEST(Surrogates, SettingsOutsideTheirRangeAreErrors) {
  const auto refuses = [](const Surrogate& surrogate, const char* key) {
    expect_error(ErrorKind::kInvalidArgument, {key, name_of(surrogate.kind)}, [&] { check_surrogate(surrogate); });
  };
  using Kind = SurrogateKind;
  expect_error(ErrorKind::kInvalidArgument, {"alpha = 0"}, [] { check_surrogate({Kind::kAtan, 0.0f}); });
  expect_error(ErrorKind::kInvalidArgument, {"alpha"}, [] { check_surrogate({Kind::kRect, std::nanf("")}); });
  refuses({Kind::kQPseudoSpike, 1.0f}, "alpha");
  refuses({Kind::kLogTailedRelu, -0.1f}, "alpha");
  refuses({Kind::kAtan, 2.0f, 0.5f}, "surrogate_beta");
  refuses({Kind::kSquarewaveFourierSeries, 8.0f, 2.5f}, "surrogate_beta");
  refuses({Kind::kSquarewaveFourierSeries, 8.0f, 1.0f}, "surrogate_beta");
  refuses({Kind::kSquarewaveFourierSeries, 8.0f, 1e9f}, "surrogate_beta");
  refuses({Kind::kS2nn, 4.0f, -1.0f}, "surrogate_beta");
  check_surrogate({Kind::kLogTailedRelu, 0.0f});
  check_surrogate({Kind::kSquarewaveFourierSeries, 8.0f, 2.0f});
}

// What SpikingJelly computes, where its files lie: KIND.ARGUMENTS over z.
TEST(Surrogates, AreThoseOfSpikingJelly) {
  const auto path = shared_path("spikingjelly/neurons.npz");
  if (!path) GTEST_SKIP() << "shared data spikingjelly is absent";
  const auto arrays = read_npz(*path);
  const std::vector<double> z = arrays.at("surrogate/z").as<double>();
  using Kind = SurrogateKind;
  const std::vector<std::pair<const char*, Surrogate>> cases = {
      {"PiecewiseQuadratic.1.0", {Kind::kPiecewiseQuadratic, 1.0f}},
      {"PiecewiseQuadratic.0.6", {Kind::kPiecewiseQuadratic, 0.6f}},
      {"PiecewiseExp.1.0", {Kind::kPiecewiseExp, 1.0f}},
      {"PiecewiseExp.2.0", {Kind::kPiecewiseExp, 2.0f}},
      {"Sigmoid.4.0", {Kind::kSigmoid, 4.0f}},
      {"Sigmoid.1.5", {Kind::kSigmoid, 1.5f}},
      {"SoftSign.2.0", {Kind::kSoftSign, 2.0f}},
      {"SoftSign.3.0", {Kind::kSoftSign, 3.0f}},
      {"SuperSpike.1.0", {Kind::kAtan, 1.0f}},  // whatever its documentation says
      {"SuperSpike.3.0", {Kind::kAtan, 3.0f}},
      {"ATan.2.0", {Kind::kAtan, 2.0f}},
      {"ATan.1.0", {Kind::kAtan, 1.0f}},
      {"Erf.2.0", {Kind::kErf, 2.0f}},
      {"Erf.1.0", {Kind::kErf, 1.0f}},
      {"PiecewiseLeakyReLU.w=1.0,c=0.01", {Kind::kPiecewiseLeakyRelu, 1.0f, 0.01f}},
      {"SquarewaveFourierSeries.n=2,T_period=8", {Kind::kSquarewaveFourierSeries, 8.0f, 2.0f}},
      {"S2NN.alpha=4.0,beta=1.0", {Kind::kS2nn, 4.0f, 1.0f}},
      {"QPseudoSpike.alpha=2.0", {Kind::kQPseudoSpike, 2.0f}},
      {"LeakyKReLU.leak=0.1,k=1.0", {Kind::kLeakyKRelu, 1.0f, 0.1f}},
      {"LogTailedReLU.alpha=0.1", {Kind::kLogTailedRelu, 0.1f}},
      {"Rect.alpha=1.0", {Kind::kRect, 1.0f}}};
  for (const auto& [name, surrogate] : cases) {
    SCOPED_TRACE(name);
    const std::string key = std::string("surrogate/") + name;
    const std::vector<double> gradients = arrays.at(key + "/gradient").as<double>();
    const auto found = arrays.find(key + "/primitive");
    for (std::size_t i = 0; i < z.size(); ++i) {
      ASSERT_NEAR(gradient(surrogate, z[i]), gradients[i], 1e-5 * (1.0 + std::abs(gradients[i]))) << z[i];
      if (found == arrays.end()) continue;
      ASSERT_NEAR(primitive(surrogate, z[i]), found->second.as<double>()[i], 1e-5) << z[i];
    }
  }
}

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
