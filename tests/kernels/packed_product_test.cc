// Gathered and dense products with packed weights: right, and the same bits whichever ran.
#include "spikegpt/kernels/packed_product.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

constexpr MatrixLayout kLayouts[] = {MatrixLayout::kPanels, MatrixLayout::kRows};
constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kBf16, WeightType::kInt8, WeightType::kInt4};

struct Size {
  std::int64_t in;
  std::int64_t out;
};
constexpr Size kSizes[] = {{1, 1},     {3, 5},     {63, 130},  {64, 64},  {65, 127},
                           {130, 128}, {257, 129}, {700, 300}, {33, 4200}};

std::vector<float> random_weights(const Size& size) {
  RandomStream random = random_stream(static_cast<std::uint64_t>(size.in));
  std::vector<float> weights;
  for (std::int64_t i = 0; i < size.in * size.out; ++i) {
    weights.push_back(static_cast<float>(0.1 * random.next_normal()));
  }
  return weights;
}

// Values of which a share `density` is not zero.
Guarded<float> random_inputs(ActivityKind kind, double density, std::int64_t count) {
  RandomStream random = random_stream(7);
  Guarded<float> x(count);
  for (std::int64_t i = 0; i < count; ++i) {
    x[i] = 0.0f;
    if (random.next_uniform() >= density) continue;
    if (kind == ActivityKind::kSpikes) x[i] = 1.0f;
    constexpr float kCounts[] = {-1.0f, 127.0f, 3.0f, -60.0f};
    if (kind == ActivityKind::kCounts) x[i] = kCounts[random.next_below(4)];
    if (kind == ActivityKind::kGraded) x[i] = static_cast<float>(random.next_normal());
  }
  return x;
}

struct Case {
  WeightType type;
  Size size;
  ActivityKind kind;
  double density;
};
std::string text_of(const Case& c) {
  return fmt::format("{} [{}, {}], kind {}, density {}", name_of(c.type), c.size.in, c.size.out,
                     static_cast<int>(c.kind), c.density);
}

Guarded<float> product(const Case& c, const PackedMatrix& matrix, std::int64_t rows, ProductPath path,
                       bool squared_relu = false) {
  const Guarded<float> x = random_inputs(c.kind, c.density, rows * c.size.in);
  const Guarded<float> y(rows * c.size.out);
  PackedRunner runner(1, c.size.in);
  runner.path = path;
  const PackedProduct products[] = {{&matrix, x.data(), y.data(), squared_relu}};
  runner.run(rows, products);
  Guarded<float> copy(y.size());
  copy_values(y, copy);
  EXPECT_TRUE(y.intact()) << "written outside of its memory";
  return copy;
}

template <class Body>
void for_each_case(const Body& body) {
  for (const WeightType type : kTypes) {
    for (const Size& size : kSizes) {
      for (const ActivityKind kind : {ActivityKind::kSpikes, ActivityKind::kCounts, ActivityKind::kGraded}) {
        for (const double density : {0.0, 0.05, 0.3, 1.0}) {
          const Case c = {type, size, kind, density};
          SCOPED_TRACE(text_of(c));
          for (const MatrixLayout layout : kLayouts) {
            SCOPED_TRACE(layout == MatrixLayout::kRows ? "in rows" : "in panels");
            body(c, PackedMatrix(type, size.in, size.out, random_weights(size).data(), layout));
          }
        }
      }
    }
  }
}

TEST(PackedMatrix, HoldsTheWeightsToTheRoundingOfItsType) {
  for (const Size& size : kSizes) {
    const std::vector<float> weights = random_weights(size);
    for (const WeightType type : kTypes) {
      const PackedMatrix matrix(type, size.in, size.out, weights.data());
      for (std::int64_t o = 0; o < size.out; ++o) {
        float largest = 0.0f;
        for (std::int64_t i = 0; i < size.in; ++i) {
          largest = std::max(largest, std::abs(weights[static_cast<std::size_t>(i * size.out + o)]));
        }
        for (std::int64_t i = 0; i < size.in; ++i) {
          const float w = weights[static_cast<std::size_t>(i * size.out + o)];
          // Half a step; int4 may clip the largest to 0.7 of their size.
          const float error = type == WeightType::kF32    ? 0.0f
                              : type == WeightType::kBf16 ? std::abs(w) / 256.0f
                              : type == WeightType::kInt8 ? 0.5001f * largest / 127.0f
                                                          : 0.3001f * largest;
          ASSERT_LE(std::abs(matrix.value(i, o) - w), error) << name_of(type) << " " << i << " " << o;
        }
      }
    }
  }
}

TEST(PackedMatrix, Int4ErrorsAreSmallInTheMean) {
  const Size size = {256, 128};
  const std::vector<float> weights = random_weights(size);
  const PackedMatrix matrix(WeightType::kInt4, size.in, size.out, weights.data());
  double error = 0.0;
  double norm = 0.0;
  for (std::int64_t i = 0; i < size.in; ++i) {
    for (std::int64_t o = 0; o < size.out; ++o) {
      const auto w = static_cast<double>(weights[static_cast<std::size_t>(i * size.out + o)]);
      error += std::pow(static_cast<double>(matrix.value(i, o)) - w, 2);
      norm += w * w;
    }
  }
  EXPECT_LT(std::sqrt(error / norm), 0.11);  // a uniform step of 2 sigma sqrt(ln 64) / 7 would leave 0.11
}

TEST(PackedMatrix, IsTheSameAgainFromItsBytes) {
  const Size size = {65, 130};
  for (const WeightType type : kTypes) {
    for (const MatrixLayout layout : kLayouts) {
      const PackedMatrix matrix(type, size.in, size.out, random_weights(size).data(), layout);
      const PackedMatrix again(type, size.in, size.out, matrix.weights(), matrix.scales(), layout);
      for (std::int64_t i = 0; i < size.in; ++i) {
        for (std::int64_t o = 0; o < size.out; ++o) ASSERT_EQ(again.value(i, o), matrix.value(i, o));
      }
    }
  }
}

TEST(PackedMatrix, WeightTypesHaveNames) {
  for (const WeightType type : kTypes) EXPECT_EQ(weight_type(name_of(type)), type);
  expect_error(ErrorKind::kInvalidArgument, {"int2", "int8"}, [] { weight_type("int2"); });
}

TEST(PackedProduct, EventsAreTheSumOfTheActiveRows) {
  set_thread_count(2);
  for_each_case([](const Case& c, const PackedMatrix& matrix) {
    const Guarded<float> x = random_inputs(c.kind, c.density, c.size.in);
    const std::vector<float> y = floats(product(c, matrix, 1, ProductPath::kEvents));
    for (std::int64_t o = 0; o < c.size.out; ++o) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::int64_t i = 0; i < c.size.in; ++i) {
        const double term = static_cast<double>(matrix.value(i, o)) * static_cast<double>(x[i]);
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(static_cast<double>(y[static_cast<std::size_t>(o)]), sum, 2e-6 * magnitude + 1e-30) << o;
    }
  });
}

TEST(PackedProduct, EventsAndDenseProductsHaveTheSameBits) {
  set_thread_count(2);
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    for_each_case([&](const Case& c, const PackedMatrix& matrix) {
      for (const std::int64_t rows : {1, 3, 7, 16}) {
        const Outputs events = {{"y", floats(product(c, matrix, rows, ProductPath::kEvents))}};
        expect_same_bits(events, {{"y", floats(product(c, matrix, rows, ProductPath::kDense))}}, "dense, " + target);
      }
    });
  }
  set_simd_target("best");
}

// Spikes are added, never multiplied: nothing may depend on the machine.
TEST(PackedProduct, SpikesGiveTheSameBitsOnEveryInstructionSetAndThreadCount) {
  for_each_case([](const Case& c, const PackedMatrix& matrix) {
    const bool whole = c.type == WeightType::kInt8 || c.type == WeightType::kInt4;
    if (c.kind == ActivityKind::kGraded || (c.kind == ActivityKind::kCounts && !whole)) return;
    same_everywhere([&] {
      return Outputs{{"events", floats(product(c, matrix, 1, ProductPath::kEvents))},
                     {"dense", floats(product(c, matrix, 50, ProductPath::kDense))}};
    });
  });
}

// 300 inputs with the largest weight each: more than 16 bits hold.
TEST(PackedProduct, IntegerSumsDoNotOverflow) {
  const std::vector<float> ones(300 * 128, 1.0f);
  for (const WeightType type : {WeightType::kInt8, WeightType::kInt4}) {
    for (const MatrixLayout layout : kLayouts) {
      const PackedMatrix matrix(type, 300, 128, ones.data(), layout);
      for (const float count : {1.0f, -1.0f, 127.0f, -127.0f, 64.0f}) {
        const std::vector<float> x(300, count);
        std::vector<float> y(128);
        PackedRunner runner(1, 300);
        runner.path = ProductPath::kEvents;
        const PackedProduct products[] = {{&matrix, x.data(), y.data()}};
        runner.run(1, products);
        const float weight = matrix.value(0, 0);
        for (const float value : y) ASSERT_NEAR(value, 300.0f * count * weight, 1e-3f * std::abs(count));
      }
    }
  }
}

TEST(PackedProduct, SquaresTheRelu) {
  const Case c = {WeightType::kF32, {65, 130}, ActivityKind::kGraded, 0.5};
  const PackedMatrix matrix(c.type, c.size.in, c.size.out, random_weights(c.size).data());
  for (const ProductPath path : {ProductPath::kEvents, ProductPath::kDense}) {
    const std::vector<float> plain = floats(product(c, matrix, 7, path));
    const std::vector<float> squared = floats(product(c, matrix, 7, path, true));
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ASSERT_EQ(squared[i], plain[i] > 0.0f ? plain[i] * plain[i] : 0.0f);
    }
  }
}

TEST(PackedProduct, CountsWhatItDoes) {
  const Size size = {256, 300};
  const PackedMatrix matrix(WeightType::kInt8, size.in, size.out, random_weights(size).data());
  std::vector<float> x(256, 0.0f);
  x[3] = x[200] = 1.0f;
  std::vector<float> y(300);
  PackedRunner runner(2, 256);
  const PackedProduct products[] = {{&matrix, x.data(), y.data()}, {&matrix, x.data(), y.data()}};
  runner.run(1, std::span(products).first(1));
  EXPECT_EQ(runner.work.accumulates, 2 * 300);
  EXPECT_EQ(runner.work.multiply_accumulates, 0);
  EXPECT_EQ(runner.work.weight_bytes, 2 * 2 * kPanelWidth + 2 * 4 * kPanelWidth);
  runner.work = {};
  x[3] = 2.5f;
  runner.run(1, products);
  EXPECT_EQ(runner.work.accumulates, 0);
  EXPECT_EQ(runner.work.multiply_accumulates, 2 * 2 * 300);
  runner.work = {};
  x[3] = -3.0f;  // three negative spikes
  runner.run(1, products);
  EXPECT_EQ(runner.work.accumulates, 2 * (3 + 1) * 300);
  EXPECT_EQ(runner.work.multiply_accumulates, 0);
  runner.work = {};
  x.assign(256, 1.0f);  // no silence: dense
  runner.run(1, std::span(products).first(1));
  EXPECT_EQ(runner.work.multiply_accumulates, 256 * 300);
}

}  // namespace
}  // namespace spikegpt::test
