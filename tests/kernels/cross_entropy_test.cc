#include "spikegpt/kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kernels/kernel_case.h"
#include "tests/support/finite_difference.h"

namespace spikegpt::test {
namespace {

struct Inputs {
  Inputs(std::int64_t r, std::int64_t v, double scale, std::uint64_t seed) : rows(r), vocab(v), logits(r * v) {
    RandomStream random = random_stream(seed);
    fill_normal(random, scale, logits);
    for (std::int64_t i = 0; i < r; ++i) {
      targets.push_back(static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(v))));
    }
    targets.back() = static_cast<std::int32_t>(v - 1);
  }
  std::int64_t rows;
  std::int64_t vocab;
  Guarded<float> logits;
  std::vector<std::int32_t> targets;
};

constexpr float kScale = 0.125f;

template <class A>
Outputs run(const Inputs& in, float l2wrap) {
  const Guarded<float> losses(in.rows);
  const Guarded<A> d_logits(in.logits.size());
  cross_entropy<A>(in.rows, in.vocab,
                   {in.logits.data(), in.targets.data(), losses.data(), d_logits.data(), kScale, l2wrap});
  return {{"losses", floats(losses)}, {"d_logits", floats(d_logits)}};
}

struct Expected {
  std::vector<double> losses;
  std::vector<double> d_logits;
};
Expected expected_loss(const Inputs& in, double l2wrap) {
  Expected out;
  const std::vector<double> all = doubles(in.logits);
  for (std::int64_t i = 0; i < in.rows; ++i) {
    const std::vector<double> z(all.begin() + i * in.vocab, all.begin() + (i + 1) * in.vocab);
    const auto best = std::max_element(z.begin(), z.end());
    double sum = 0.0;
    for (const double value : z) sum += std::exp(value - *best);
    const auto target = static_cast<std::size_t>(in.targets[static_cast<std::size_t>(i)]);
    out.losses.push_back(std::log(sum) + *best - z[target]);
    for (std::size_t j = 0; j < z.size(); ++j) {
      double d = std::exp(z[j] - *best) / sum - (j == target ? 1.0 : 0.0);
      if (z.begin() + static_cast<std::ptrdiff_t>(j) == best) d += l2wrap * *best;
      out.d_logits.push_back(static_cast<double>(kScale) * d);
    }
  }
  return out;
}

template <class A>
class CrossEntropyTest : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(CrossEntropyTest, ActivationTypes);

TEST(CrossEntropyReference, GradientIsTheDerivative) {
  Inputs in(1, 7, 2.0, 90);
  const Expected expected = expected_loss(in, 0.0);
  std::vector<double> z = doubles(in.logits);
  const auto loss = [&] {
    double sum = 0.0;
    for (const double value : z) sum += std::exp(value);
    return static_cast<double>(kScale) * (std::log(sum) - z[static_cast<std::size_t>(in.targets[0])]);
  };
  expect_close(expected.d_logits, finite_differences(z, loss), {1e-8, 1e-9}, "d_logits");
}

TYPED_TEST(CrossEntropyTest, LossAndGradientAtAllSizes) {
  std::uint64_t seed = 600;
  for (const std::int64_t vocab : {1, 2, 15, 16, 17, 77, 50277}) {
    for (const std::int64_t rows : {1, 3, 16, 17, 33}) {
      if (vocab > 1000 && rows > 3) continue;
      for (const float l2wrap : {0.0f, 1e-4f, 0.5f}) {
        SCOPED_TRACE(fmt::format("V {}, {} rows, l2wrap {}", vocab, rows, l2wrap));
        const Inputs in(rows, vocab, 3.0, ++seed);
        const Outputs actual = same_everywhere([&] { return run<TypeParam>(in, l2wrap); });
        const Expected expected = expected_loss(in, static_cast<double>(l2wrap));
        expect_close(actual.at("losses"), expected.losses, {2e-6, 2e-6}, "losses");
        // The L2Wrap term is added after rounding to the type.
        Tolerance tolerance = rounded<TypeParam>({5e-6, 1e-8});
        if (l2wrap != 0.0f && std::is_same_v<TypeParam, Bf16>) tolerance.absolute += kScale * 0x1p-8;
        expect_close(actual.at("d_logits"), expected.d_logits, tolerance, "d_logits");
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

TYPED_TEST(CrossEntropyTest, LargeLogitsNeitherOverflowNorLoseTheLoss) {
  for (const double scale : {300.0, 3000.0, 1e30}) {
    SCOPED_TRACE(scale);
    const Inputs in(17, 77, scale, 91);
    const Outputs actual = same_everywhere([&] { return run<TypeParam>(in, 0.0f); });
    const Expected expected = expected_loss(in, 0.0);
    expect_close(actual.at("losses"), expected.losses, {1e-6, 1e-6 * scale}, "losses");
    expect_close(actual.at("d_logits"), expected.d_logits, rounded<TypeParam>({5e-6, 1e-8}), "d_logits");
  }
}

TEST(CrossEntropy, GradientOverTheLogits) {
  const Inputs in(17, 77, 3.0, 92);
  const Outputs apart = run<float>(in, 1e-4f);
  const Guarded<float> losses(17);
  const Guarded<float> in_place(in.logits.size());
  copy_values(in.logits, in_place);
  cross_entropy<float>(17, 77, {in_place.data(), in.targets.data(), losses.data(), in_place.data(), kScale, 1e-4f});
  expect_same_bits(apart, {{"losses", floats(losses)}, {"d_logits", floats(in_place)}}, "in place");
}

TEST(CrossEntropy, LossesAloneAreTheSame) {
  const Inputs in(17, 77, 3.0, 93);
  const Guarded<float> losses(17);
  cross_entropy<float>(17, 77, {in.logits.data(), in.targets.data(), losses.data()});
  EXPECT_EQ(floats(losses), run<float>(in, 1e-4f).at("losses"));
}

TEST(CrossEntropy, EqualLogitsGiveTheLogOfTheVocabulary) {
  const Inputs in(2, 77, 0.0, 94);
  EXPECT_NEAR(run<float>(in, 0.0f).at("losses")[0], std::log(77.0), 1e-6);
}

TEST(CrossEntropy, NotANumberShowsInTheLoss) {
  for (const std::int64_t where : {0, 40, 76}) {
    const Inputs in(1, 77, 3.0, 95);
    in.logits[where] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(run<float>(in, 1e-4f).at("losses")[0])) << where;
  }
}

}  // namespace
}  // namespace spikegpt::test
