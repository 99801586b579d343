#include "spikegpt/kernels/pointwise.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/kernels/kernel_case.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::test {
namespace {

template <class A>
class Pointwise : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(Pointwise, ActivationTypes);

// Around vectors, masks of 128 elements and pieces of 32768.
constexpr std::array<std::int64_t, 9> kSizes = {1, 3, 13, 63, 127, 128, 130, 1000, 32768 + 77};

template <class A>
std::vector<double> map2(const Guarded<A>& a, const Guarded<A>& b, double (*f)(double, double)) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < a.size(); ++i) out.push_back(f(as_double(a[i]), as_double(b[i])));
  return out;
}

TYPED_TEST(Pointwise, SigmoidGate) {
  using A = TypeParam;
  RandomStream random = random_stream(81);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<A> receptance = normal_values<A>(random, n, 3.0);
    const Guarded<A> value = normal_values<A>(random, n);
    receptance[0] = from_float<A>(n % 2 == 0 ? 1e30f : -1e30f);
    const Outputs actual = same_everywhere([&] {
      const Guarded<A> apart(n);
      const Guarded<A> in_place(n);
      copy_values(value, in_place);
      sigmoid_gate_forward<A>(n, receptance.data(), value.data(), apart.data());
      sigmoid_gate_forward<A>(n, receptance.data(), in_place.data(), in_place.data());
      EXPECT_EQ(floats(apart), floats(in_place));
      return Outputs{{"output", floats(apart)}};
    });
    const auto expected = map2(receptance, value, [](double r, double v) { return reference::sigmoid(r) * v; });
    expect_close(actual.at("output"), expected, rounded<A>({1e-6, 1e-35}), "output");
  }
}

TYPED_TEST(Pointwise, SigmoidGateBackward) {
  using A = TypeParam;
  RandomStream random = random_stream(82);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<A> receptance = normal_values<A>(random, n, 3.0);
    const Guarded<A> value = normal_values<A>(random, n);
    const Guarded<A> d_output = normal_values<A>(random, n);
    const auto run = [&](int over) {  // 0: nothing overlaps; 1: d_receptance, 2: d_value in d_output's memory
      const Guarded<A> d_receptance(n);
      const Guarded<A> d_value(n);
      const Guarded<A>& shared = over == 1 ? d_receptance : d_value;
      if (over != 0) copy_values(d_output, shared);
      sigmoid_gate_backward<A>(n, {receptance.data(), value.data(), over == 0 ? d_output.data() : shared.data(),
                                   d_receptance.data(), d_value.data()});
      return Outputs{{"d_receptance", floats(d_receptance)}, {"d_value", floats(d_value)}};
    };
    const Outputs actual = same_everywhere([&] { return run(0); });
    expect_same_bits(actual, run(1), "with d_receptance in place");
    expect_same_bits(actual, run(2), "with d_value in place");
    std::vector<double> d_receptance;
    std::vector<double> d_value;
    for (std::int64_t i = 0; i < n; ++i) {
      const double r = as_double(receptance[i]);
      d_value.push_back(as_double(d_output[i]) * reference::sigmoid(r));
      d_receptance.push_back(d_value.back() * reference::sigmoid(-r) * as_double(value[i]));
    }
    expect_close(actual.at("d_value"), d_value, rounded<A>({1e-6, 1e-9}), "d_value");
    // 1 - sigmoid loses digits where the sigmoid is close to 1.
    expect_close(actual.at("d_receptance"), d_receptance, rounded<A>({1e-6, 5e-7}), "d_receptance");
  }
}

TYPED_TEST(Pointwise, SquaredReluBackward) {
  using A = TypeParam;
  RandomStream random = random_stream(83);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<A> a = normal_values<A>(random, n);  // relu(k)^2
    for (std::int64_t i = 0; i < n; ++i) {
      const float k = to_float(a[i]);
      a[i] = from_float<A>(k > 0.0f ? k * k : 0.0f);
    }
    const Guarded<A> d = normal_values<A>(random, n);
    const Outputs actual = same_everywhere([&] {
      const Guarded<A> in_place(n);
      copy_values(d, in_place);
      squared_relu_backward<A>(n, a.data(), in_place.data());
      return Outputs{{"d", floats(in_place)}};
    });
    const auto expected = map2(a, d, [](double square, double g) { return g * 2.0 * std::sqrt(square); });
    expect_close(actual.at("d"), expected, rounded<A>({1e-6, 1e-9}), "d");
  }
}

TYPED_TEST(Pointwise, ResidualWithoutDropoutIsTheSum) {
  using A = TypeParam;
  RandomStream random = random_stream(84);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<float> x = normal_values<float>(random, n);
    const Guarded<A> branch = normal_values<A>(random, n);
    const Outputs actual = same_everywhere([&] {
      const Guarded<float> apart(n);
      const Guarded<float> in_place(n);
      copy_values(x, in_place);
      residual_add<A>(n, x.data(), branch.data(), {}, apart.data());
      residual_add<A>(n, in_place.data(), branch.data(), {}, in_place.data());
      EXPECT_EQ(floats(apart), floats(in_place));
      return Outputs{{"out", floats(apart)}};
    });
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(actual.at("out")[static_cast<std::size_t>(i)], x[i] + to_float(branch[i]));
    }
  }
}

// The mask: what dropout makes of a stream of ones.
template <class A>
std::vector<float> mask_of(std::int64_t n, const Dropout& dropout) {
  const Guarded<float> x(n);
  const Guarded<A> branch(n);
  for (std::int64_t i = 0; i < n; ++i) x[i] = 0.25f, branch[i] = from_float<A>(0.75f);
  residual_add<A>(n, x.data(), branch.data(), dropout, x.data());
  return floats(x);
}

TYPED_TEST(Pointwise, ForwardAndBackwardDropTheSame) {
  using A = TypeParam;
  RandomStream random = random_stream(85);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Dropout dropout{0.3f, 11, static_cast<std::uint64_t>(n)};
    const Guarded<float> x = normal_values<float>(random, n);
    const Guarded<A> branch = normal_values<A>(random, n);
    const std::vector<float> mask = mask_of<A>(n, dropout);
    const Outputs actual = same_everywhere([&] {
      const Guarded<float> out(n);
      const Guarded<float> d(n);
      copy_values(x, d);
      residual_add<A>(n, x.data(), branch.data(), dropout, out.data());
      dropout_backward(n, dropout, d.data());
      return Outputs{{"out", floats(out)}, {"d", floats(d)}};
    });
    for (std::int64_t i = 0; i < n; ++i) {
      const auto j = static_cast<std::size_t>(i);
      ASSERT_EQ(actual.at("out")[j], (x[i] + to_float(branch[i])) * mask[j]) << i;
      ASSERT_EQ(actual.at("d")[j], x[i] * mask[j]) << i;
    }
  }
}

// Five standard deviations: one run in two million fails by chance, and these runs are always the
// same.
void expect_probability(double successes, double trials, double p, const char* what) {
  EXPECT_NEAR(successes, trials * p, 5.0 * std::sqrt(trials * p * (1.0 - p))) << what;
}

TEST(Dropout, DropsWithItsProbabilityAndKeepsTheMean) {
  constexpr std::int64_t kCount = 200000;
  for (const float p : {0.03f, 0.1f, 0.5f, 0.9f}) {
    SCOPED_TRACE(p);
    const std::vector<float> mask = mask_of<float>(kCount, {p, 3, 4});
    double dropped = 0.0;
    for (const float scale : mask) {
      if (scale == 0.0f) {
        dropped += 1.0;
      } else {
        ASSERT_NEAR(scale, 1.0f / (1.0f - p),
                    2e-4f / (1.0f - p) / (1.0f - p));  // p in steps of 1/65536
      }
    }
    expect_probability(dropped, static_cast<double>(kCount), static_cast<double>(p), "dropped");
  }
}

TEST(Dropout, PositionsStreamsAndSeedsAreIndependent) {
  constexpr std::size_t kCount = 200000;
  const double p = 0.25;
  const std::vector<float> mask = mask_of<float>(kCount, {0.25f, 3, 4});
  const auto expect_independent = [&](const std::vector<float>& other, std::size_t lag, const std::string& what) {
    double both = 0.0;
    for (std::size_t i = lag; i < kCount; ++i) both += mask[i] == 0.0f && other[i - lag] == 0.0f ? 1.0 : 0.0;
    expect_probability(both, static_cast<double>(kCount - lag), p * p, what.c_str());
  };
  for (const std::size_t lag : {1, 2, 3, 4, 7, 8, 16, 32, 64, 112, 128, 32768}) {
    expect_independent(mask, lag, fmt::format("{} apart", lag));
  }
  expect_independent(mask_of<float>(kCount, {0.25f, 3, 5}), 0, "another stream");
  expect_independent(mask_of<float>(kCount, {0.25f, 3, std::uint64_t{4} << 48}), 0, "a far stream");
  expect_independent(mask_of<float>(kCount, {0.25f, 4, 4}), 0, "another seed");
  expect_independent(mask_of<float>(kCount, {0.25f, std::uint64_t{3} << 32, 4}), 0, "a far seed");
}

TEST(Dropout, TheMaskDoesNotDependOnTheLengthOrTheType) {
  const Dropout dropout{0.4f, 5, 6};
  const std::vector<float> longest = mask_of<float>(40000, dropout);
  for (const std::int64_t n : {1, 100, 129, 32767, 32769}) {
    EXPECT_TRUE(std::equal(longest.begin(), longest.begin() + n, mask_of<Bf16>(n, dropout).begin())) << n;
  }
}

TEST(Dropout, ProbabilityZeroLeavesGradientsAlone) {
  const Guarded<float> d(9);  // NaN: times one would still be NaN, but in other bits perhaps
  d[0] = -0.0f;
  const Outputs before = {{"d", floats(d)}};
  dropout_backward(9, {0.0f, 1, 2}, d.data());
  expect_same_bits(before, {{"d", floats(d)}}, "afterwards");
}

TYPED_TEST(Pointwise, SquaredReluIsThatOfSpecification) {
  using A = TypeParam;
  RandomStream random = random_stream(87);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<A> x = normal_values<A>(random, n, 2.0);
    const Outputs actual = same_everywhere([&] {
      const Guarded<A> a(n);
      copy_values(x, a);
      squared_relu_forward(n, a.data());
      EXPECT_TRUE(a.intact());
      return Outputs{{"a", floats(a)}};
    });
    std::vector<double> expected;
    for (const float value : floats(x)) {
      expected.push_back(value > 0.0f ? static_cast<double>(value) * static_cast<double>(value) : 0.0);
    }
    expect_close(actual.at("a"), expected, rounded<A>({1e-6, 1e-7}), "a");
  }
}

TYPED_TEST(Pointwise, CountsWhatIsNotZero) {
  using A = TypeParam;
  RandomStream random = random_stream(88);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<A> x = normal_values<A>(random, n);
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (random.next_below(3) == 0) x[i] = from_float<A>(random.next_below(2) == 0 ? 0.0f : -0.0f);
      expected += to_float(x[i]) != 0.0f;
    }
    same_everywhere([&] {
      EXPECT_EQ(count_nonzero(n, x.data()), expected);
      return Outputs{};
    });
  }
}

TEST(Convert, AgreesWithTheScalarConversions) {
  RandomStream random = random_stream(86);
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    const Guarded<float> x = normal_values<float>(random, n);
    x[0] = std::numeric_limits<float>::infinity();
    if (n > 2) x[1] = std::numeric_limits<float>::quiet_NaN(), x[2] = 3.4e38f;
    const Outputs actual = same_everywhere([&] {
      const Guarded<Bf16> narrow(n);
      const Guarded<float> wide(n);
      const Guarded<float> copied(n);
      convert(n, x.data(), narrow.data());
      convert(n, narrow.data(), wide.data());
      convert(n, x.data(), copied.data());
      EXPECT_TRUE(narrow.intact());
      return Outputs{{"wide", floats(wide)}, {"copied", floats(copied)}};
    });
    Outputs expected;
    for (const float value : floats(x)) expected["wide"].push_back(to_float(to_bf16(value)));
    expected["copied"] = floats(x);
    expect_same_bits(expected, actual, "from the kernel");
  }
}

}  // namespace
}  // namespace spikegpt::test
