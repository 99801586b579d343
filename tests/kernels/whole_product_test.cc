// Integer dot products against gathering, whose sums are a plain loop: the same bits, whatever the instruction set.
#include "spikegpt/kernels/whole_product.h"

#include <gtest/gtest.h>

#include "spikegpt/kernels/packed_product.h"
#include "tests/kernels/kernel_case.h"

namespace spikegpt::test {
namespace {

constexpr WeightType kIntegerTypes[] = {WeightType::kInt8, WeightType::kInt4};

std::vector<float> random_weights(std::int64_t count) {
  RandomStream random = random_stream(3);
  std::vector<float> weights;
  for (std::int64_t i = 0; i < count; ++i) weights.push_back(static_cast<float>(random.next_normal()));
  return weights;
}

// Whole numbers up to +-`largest`, half of them zero.
Guarded<float> random_counts(std::int64_t count, int largest) {
  RandomStream random = random_stream(5);
  Guarded<float> x(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(random.next_below(static_cast<std::uint64_t>(2 * largest + 1))) -
                       static_cast<float>(largest);
    x[i] = random.next_uniform() < 0.5 ? 0.0f : value;
  }
  return x;
}

// y [rows, outputs] row by row, gathered.
std::vector<float> gathered(const PackedMatrix& matrix, std::int64_t rows, const float* x) {
  std::vector<float> y(static_cast<std::size_t>(rows * matrix.outputs()));
  PackedRunner runner(1, matrix.inputs());
  runner.path = ProductPath::kEvents;
  for (std::int64_t r = 0; r < rows; ++r) {
    const PackedProduct products[] = {{&matrix, x + r * matrix.inputs(), y.data() + r * matrix.outputs()}};
    runner.run(1, products);
  }
  return y;
}

// Whether this instruction set has integer dot products at all.
bool has_dot_products() {
  const PackedMatrix matrix(WeightType::kInt8, 1, 1, random_weights(1).data());
  const PackedProduct products[] = {{&matrix, nullptr, nullptr}};
  return WholeRunner::fits(products);
}

void expect_gathered_bits(const PackedMatrix& matrix, std::int64_t rows, const Guarded<float>& x) {
  const std::vector<float> expected = gathered(matrix, rows, x.data());
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    if (!has_dot_products()) continue;
    const Guarded<float> y(rows * matrix.outputs());
    const PackedProduct products[] = {{&matrix, x.data(), y.data()}};
    WholeRunner runner;
    ASSERT_TRUE(runner.run(rows, products));
    EXPECT_TRUE(y.intact()) << "written outside of its memory";
    expect_same_bits({{"y", expected}}, {{"y", floats(y)}}, "on " + target);
  }
  set_simd_target("best");
}

TEST(WholeProduct, HasTheBitsOfGathering) {
  set_thread_count(2);
  struct Shape {
    std::int64_t rows, in, out;
  };
  for (const Shape& shape : {Shape{1, 1, 1},
                             {2, 3, 5},
                             {5, 63, 130},
                             {6, 64, 64},
                             {7, 65, 257},
                             {8, 130, 256},
                             {13, 257, 129},
                             {50, 700, 300},
                             {12, 33, 2100},
                             {2500, 67, 70}}) {
    const std::vector<float> weights = random_weights(shape.in * shape.out);
    for (const WeightType type : kIntegerTypes) {
      for (const int largest : {1, 8, 127}) {
        SCOPED_TRACE(
            fmt::format("{} [{}, {}] {} rows, counts to {}", name_of(type), shape.in, shape.out, shape.rows, largest));
        expect_gathered_bits(PackedMatrix(type, shape.in, shape.out, weights.data()), shape.rows,
                             random_counts(shape.rows * shape.in, largest));
      }
    }
  }
  set_thread_count(1);
}

// Weights and inputs of the largest size and both signs: pairs would leave 16 bits, and sums 24.
TEST(WholeProduct, TheLargestSumsAreExact) {
  constexpr std::int64_t kIn = 2000;
  constexpr std::int64_t kOut = 70;
  for (const WeightType type : kIntegerTypes) {
    for (const float sign : {1.0f, -1.0f}) {
      const std::vector<float> weights(kIn * kOut, sign);
      for (const float count : {127.0f, -127.0f}) {
        const Guarded<float> x(8 * kIn);
        for (std::int64_t i = 0; i < x.size(); ++i) x[i] = count;
        expect_gathered_bits(PackedMatrix(type, kIn, kOut, weights.data()), 8, x);
      }
    }
  }
}

TEST(WholeProduct, ProductsMayShareInputsOrNot) {
  const PackedMatrix wide(WeightType::kInt8, 70, 300, random_weights(70 * 300).data());
  const PackedMatrix narrow(WeightType::kInt8, 70, 40, random_weights(70 * 40).data());
  constexpr std::int64_t kRows = 9;
  const Guarded<float> a = random_counts(kRows * 70, 8);
  const Guarded<float> b = random_counts(kRows * 70 + 1, 3);
  const Guarded<float> y[] = {Guarded<float>(kRows * 300), Guarded<float>(kRows * 40), Guarded<float>(kRows * 300)};
  const PackedProduct products[] = {
      {&wide, a.data(), y[0].data()}, {&narrow, b.data() + 1, y[1].data()}, {&wide, a.data(), y[2].data(), true}};
  WholeRunner runner;
  if (!has_dot_products()) GTEST_SKIP() << "no integer dot products on this CPU";
  ASSERT_TRUE(runner.run(kRows, products));
  const Outputs expected = {{"wide", gathered(wide, kRows, a.data())},
                            {"narrow", gathered(narrow, kRows, b.data() + 1)}};
  expect_same_bits(expected, {{"wide", floats(y[0])}, {"narrow", floats(y[1])}}, "together");
  for (std::int64_t i = 0; i < y[2].size(); ++i) ASSERT_EQ(y[2][i], y[0][i] > 0.0f ? y[0][i] * y[0][i] : 0.0f);
}

TEST(WholeProduct, LeavesInputsThatAreNotSmallWholeNumbersAlone) {
  const PackedMatrix matrix(WeightType::kInt8, 67, 70, random_weights(67 * 70).data());
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    if (!has_dot_products()) continue;
    for (const float strange : {0.5f, 128.0f, -127.5f, 1e30f, NAN, INFINITY, -INFINITY}) {
      const Guarded<float> x = random_counts(20 * 67, 8);
      x[19 * 67 + 66] = strange;
      const std::vector<float> y(20 * 70, 3.0f);
      std::vector<float> out = y;
      const PackedProduct products[] = {{&matrix, x.data(), out.data()}};
      WholeRunner runner;
      EXPECT_FALSE(runner.run(20, products)) << strange;
      EXPECT_EQ(out, y);
    }
  }
  set_simd_target("best");
}

TEST(WholeProduct, FitsIntegerWeightsOnly) {
  for (const WeightType type : {WeightType::kF32, WeightType::kBf16, WeightType::kInt8, WeightType::kInt4}) {
    const PackedMatrix matrix(type, 2, 2, random_weights(4).data());
    const PackedProduct products[] = {{&matrix, nullptr, nullptr}};
    const bool integers = type == WeightType::kInt8 || type == WeightType::kInt4;
    EXPECT_EQ(WholeRunner::fits(products), integers && simd_target() != "baseline") << name_of(type);
  }
}

}  // namespace
}  // namespace spikegpt::test
