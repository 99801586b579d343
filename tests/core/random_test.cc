#include "spikegpt/core/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <vector>

namespace spikegpt {
namespace {

using Block = std::array<std::uint32_t, 4>;

// Known answers published with the Random123 library: philox4x32, ten rounds.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ((Philox{0, 0}(0, 0)), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ((Philox{0xffffffff, 0xffffffff}(~0ull, ~0ull)), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ((Philox{0xa4093822, 0x299f31d0}(0x85a308d3243f6a88, 0x0370734413198a2e)),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, SeedFillsTheKey) {
  const Philox philox = philox_from_seed(0x0123456789abcdef);
  EXPECT_EQ(philox.key0, 0x89abcdefu);
  EXPECT_EQ(philox.key1, 0x01234567u);
}

TEST(RandomStream, IsAFunctionOfSeedPurposeIndexAndCounter) {
  const auto first = [](std::uint64_t seed, RandomPurpose purpose, std::uint64_t index) {
    return RandomStream(seed, purpose, index).next_u64();
  };
  EXPECT_EQ(first(1, RandomPurpose::kBatch, 2), first(1, RandomPurpose::kBatch, 2));
  std::set<std::uint64_t> different;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32, 1ull << 63}) {
    for (const RandomPurpose purpose :
         {RandomPurpose::kInit, RandomPurpose::kBatch, RandomPurpose::kDropout, RandomPurpose::kSampling}) {
      for (const std::uint64_t index : {0ull, 1ull, 2ull, 1ull << 20, 1ull << 40}) {
        different.insert(first(seed, purpose, index));
      }
    }
  }
  EXPECT_EQ(different.size(), 4u * 4u * 5u);
}

TEST(RandomStream, ContinuesWhereItWasLeft) {
  RandomStream stream(5, RandomPurpose::kSampling);
  for (int i = 0; i < 10; ++i) stream.next_u64();
  const std::uint64_t counter = stream.counter();
  std::vector<double> rest;
  for (int i = 0; i < 5; ++i) rest.push_back(stream.next_normal());
  RandomStream resumed(5, RandomPurpose::kSampling);
  resumed.set_counter(counter);
  for (const double value : rest) EXPECT_EQ(resumed.next_normal(), value);
}

constexpr int kCount = 100000;

// Five standard deviations of the mean of kCount values of this variance.
double five_sigma(double variance) { return 5.0 * std::sqrt(variance / kCount); }

TEST(RandomStream, UniformHasTheMomentsOfTheUniform) {
  RandomStream stream(6, RandomPurpose::kInit);
  double sum = 0.0;
  double squares = 0.0;
  double neighbours = 0.0;
  double previous = 0.5;
  for (int i = 0; i < kCount; ++i) {
    const double u = stream.next_uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
    neighbours += (u - 0.5) * (previous - 0.5);
    previous = u;
  }
  EXPECT_NEAR(sum / kCount, 0.5, five_sigma(1.0 / 12.0));
  EXPECT_NEAR(squares / kCount, 1.0 / 3.0, five_sigma(4.0 / 45.0));
  EXPECT_NEAR(neighbours / kCount, 0.0, five_sigma(1.0 / 144.0));
}

TEST(RandomStream, NormalHasTheMomentsAndTailsOfTheNormal) {
  RandomStream stream(7, RandomPurpose::kInit);
  double moments[5] = {};
  int beyond_two = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = stream.next_normal();
    ASSERT_TRUE(std::isfinite(x));
    for (int power = 1; power <= 4; ++power) moments[power] += std::pow(x, power) / kCount;
    beyond_two += std::abs(x) > 2.0 ? 1 : 0;
  }
  EXPECT_NEAR(moments[1], 0.0, five_sigma(1.0));
  EXPECT_NEAR(moments[2], 1.0, five_sigma(2.0));
  EXPECT_NEAR(moments[3], 0.0, five_sigma(15.0));
  EXPECT_NEAR(moments[4], 3.0, five_sigma(96.0));
  EXPECT_NEAR(beyond_two / static_cast<double>(kCount), std::erfc(std::sqrt(2.0)), five_sigma(0.0455 * 0.9545));
}

TEST(RandomStream, BelowIsUniformOverItsRange) {
  RandomStream stream(8, RandomPurpose::kBatch);
  for (const std::uint64_t bound : {1ull, 2ull, 7ull, 100ull}) {
    std::vector<int> counts(bound);
    for (int i = 0; i < kCount; ++i) {
      const std::uint64_t value = stream.next_below(bound);
      ASSERT_LT(value, bound);
      ++counts[value];
    }
    const double p = 1.0 / static_cast<double>(bound);
    for (const int count : counts) EXPECT_NEAR(count / static_cast<double>(kCount), p, five_sigma(p * (1.0 - p)));
  }
  for (int i = 0; i < 1000; ++i) ASSERT_LT(stream.next_below(~0ull), ~0ull);
}

// Streams must not be the same numbers shifted or mixed: correlations of their bits are those of
// coins.
TEST(RandomStream, StreamsAreIndependent) {
  constexpr int kWords = 4000;
  const auto agreement = [](RandomStream a, RandomStream b) {
    int equal = 0;
    for (int i = 0; i < kWords; ++i) equal += 64 - std::popcount(a.next_u64() ^ b.next_u64());
    return equal / (64.0 * kWords);
  };
  const RandomStream base(9, RandomPurpose::kDropout, 3);
  RandomStream later(9, RandomPurpose::kDropout, 3);
  later.set_counter(1);
  const double tolerance = 5.0 * 0.5 / std::sqrt(64.0 * kWords);
  EXPECT_NEAR(agreement(base, RandomStream(10, RandomPurpose::kDropout, 3)), 0.5, tolerance);
  EXPECT_NEAR(agreement(base, RandomStream(9, RandomPurpose::kDropout, 4)), 0.5, tolerance);
  EXPECT_NEAR(agreement(base, RandomStream(9, RandomPurpose::kBatch, 3)), 0.5, tolerance);
  EXPECT_NEAR(agreement(base, later), 0.5, tolerance);
  EXPECT_EQ(agreement(base, base), 1.0);
}

}  // namespace
}  // namespace spikegpt
