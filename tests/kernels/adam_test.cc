#include "spikegpt/kernels/adam.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"

namespace spikegpt::test {
namespace {

struct Vectors {
  explicit Vectors(std::int64_t n) : parameter(n), gradient(n), first(n), second(n) {
    for (std::int64_t i = 0; i < n; ++i) first[i] = second[i] = 0.0f;
  }
  AdamVectors view() const { return {parameter.data(), gradient.data(), first.data(), second.data()}; }
  Guarded<float> parameter;
  Guarded<float> gradient;
  Guarded<float> first;
  Guarded<float> second;
};

constexpr int kSteps = 20;

AdamStep step_at(int step) {
  AdamStep out;
  out.lr = 1e-2 / step;
  out.step = step;
  out.gradient_scale = step % 3 == 0 ? 0.25 : 1.0;
  return out;
}

void draw_gradient(int step, const Vectors& vectors) {
  RandomStream random = random_stream(700 + static_cast<std::uint64_t>(step));
  fill_normal(random, 0.1, vectors.gradient);
  vectors.gradient[0] = 0.0f;  // never moves
}

Outputs run_adam(std::int64_t n) {
  const Vectors vectors(n);
  RandomStream random = random_stream(700);
  fill_normal(random, 1.0, vectors.parameter);
  for (int step = 1; step <= kSteps; ++step) {
    draw_gradient(step, vectors);
    adam_update(n, step_at(step), vectors.view());
  }
  return {
      {"parameter", floats(vectors.parameter)}, {"first", floats(vectors.first)}, {"second", floats(vectors.second)}};
}

TEST(Adam, TwentyStepsAsKingmaAndBaWriteThem) {
  for (const std::int64_t n : {1, 3, 13, 64, 130, 32768 + 77}) {
    SCOPED_TRACE(n);
    const Outputs actual = same_everywhere([&] { return run_adam(n); });
    const Vectors vectors(n);
    RandomStream random = random_stream(700);
    fill_normal(random, 1.0, vectors.parameter);
    std::vector<double> parameter = doubles(vectors.parameter);
    std::vector<double> m(parameter.size());
    std::vector<double> v(parameter.size());
    for (int step = 1; step <= kSteps; ++step) {
      draw_gradient(step, vectors);
      const AdamStep at = step_at(step);
      for (std::size_t i = 0; i < parameter.size(); ++i) {
        const double g = at.gradient_scale * as_double(vectors.gradient[static_cast<std::int64_t>(i)]);
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.99 * v[i] + 0.01 * g * g;
        const double corrected_m = m[i] / (1.0 - std::pow(0.9, step));
        const double corrected_v = v[i] / (1.0 - std::pow(0.99, step));
        parameter[i] -= at.lr * corrected_m / (std::sqrt(corrected_v) + 4e-9);
      }
    }
    EXPECT_EQ(actual.at("parameter")[0], vectors.parameter[0]);
    // A float around 1 is rounded twenty times; that is 1e-4 of the smallest step.
    expect_close(actual.at("parameter"), parameter, {1e-6, 1e-6}, "parameter");
    expect_close(actual.at("first"), m, {2e-6, 3e-8}, "first moment");
    expect_close(actual.at("second"), v, {5e-6, 1e-10}, "second moment");
  }
}

// The correction of the moments' start makes the first step exactly as long as the rate, whatever
// the gradient; without the counter it would be sqrt(10) times that.
TEST(Adam, FirstStepIsAsLongAsTheRate) {
  const Vectors vectors(4);
  for (std::int64_t i = 0; i < 4; ++i) vectors.parameter[i] = 0.0f;
  vectors.gradient[0] = 1e-4f;
  vectors.gradient[1] = -7.0f;
  vectors.gradient[2] = 1e4f;
  vectors.gradient[3] = 0.0f;
  adam_update(4, {.lr = 1e-3}, vectors.view());
  EXPECT_NEAR(vectors.parameter[0], -1e-3, 1e-7);
  EXPECT_NEAR(vectors.parameter[1], 1e-3, 1e-8);
  EXPECT_NEAR(vectors.parameter[2], -1e-3, 1e-8);
  EXPECT_EQ(vectors.parameter[3], 0.0f);
}

TEST(Adam, LateStepsNeedNoCorrection) {
  const Vectors vectors(1);
  vectors.parameter[0] = 0.0f;
  vectors.gradient[0] = 0.0f;
  vectors.first[0] = 0.1f;
  vectors.second[0] = 0.04f;
  adam_update(1, {.lr = 1.0, .step = 1000000}, vectors.view());
  EXPECT_NEAR(vectors.parameter[0], -0.9 * 0.1 / std::sqrt(0.99 * 0.04), 1e-6);
}

// Loshchilov and Hutter: the decay is taken from the parameter, not put into the moments.
TEST(Adam, DecayIsDecoupled) {
  for (const std::int64_t n : {1, 17, 130}) {
    const auto after = [&](double decay) {
      const Vectors vectors(n);
      RandomStream random = random_stream(703);
      fill_normal(random, 1.0, vectors.parameter);
      draw_gradient(1, vectors);
      adam_update(n, {.lr = 0.1, .weight_decay = decay}, vectors.view());
      return Outputs{{"parameter", floats(vectors.parameter)}, {"first", floats(vectors.first)}};
    };
    const Outputs without = after(0.0);
    const Outputs with = same_everywhere([&] { return after(0.5); });
    const Vectors start(n);
    RandomStream random = random_stream(703);
    fill_normal(random, 1.0, start.parameter);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      const double taken = 0.1 * 0.5 * as_double(start.parameter[static_cast<std::int64_t>(i)]);
      EXPECT_NEAR(with.at("parameter")[i], without.at("parameter")[i] - taken, 1e-6);
      EXPECT_EQ(with.at("first")[i], without.at("first")[i]);
    }
  }
}

TEST(MovingAverage, MovesByItsShare) {
  for (const std::int64_t n : {1, 13, 64, 32768 + 77}) {
    SCOPED_TRACE(n);
    RandomStream random = random_stream(702);
    const Guarded<float> x = normal_values<float>(random, n);
    const Guarded<float> start = normal_values<float>(random, n);
    const Outputs actual = same_everywhere([&] {
      const Guarded<float> average(n);
      for (std::int64_t i = 0; i < n; ++i) average[i] = start[i];
      moving_average(n, 0.25, x.data(), average.data());
      EXPECT_TRUE(average.intact());
      return Outputs{{"average", floats(average)}};
    });
    for (std::int64_t i = 0; i < n; ++i) {
      const double expected = 0.75 * as_double(start[i]) + 0.25 * as_double(x[i]);
      ASSERT_NEAR(actual.at("average")[static_cast<std::size_t>(i)], expected, 1e-6);
    }
  }
}

TEST(SquaredNorm, SumsInDouble) {
  RandomStream random = random_stream(701);
  for (const std::int64_t n : {0, 1, 15, 16, 17, 1000, 32768, 32769, 3 * 32768 + 77}) {
    SCOPED_TRACE(n);
    const Guarded<float> x = normal_values<float>(random, n);
    if (n > 1) x[1] = 1e15f;  // its square would swallow the others in float
    double expected = 0.0;
    for (const double value : doubles(x)) expected += value * value;
    std::vector<double> found;
    same_everywhere([&] {
      const Guarded<double> scratch(squared_norm_scratch_size(n));
      found.push_back(squared_norm(n, x.data(), scratch.data()));
      EXPECT_TRUE(scratch.intact());
      return Outputs{};
    });
    EXPECT_NEAR(found.front(), expected, 1e-12 * expected);
    for (const double value : found) EXPECT_EQ(value, found.front());
  }
}

TEST(SquaredNorm, DoesNotOverflowWhereFloatWould) {
  const Guarded<float> x(3);
  for (std::int64_t i = 0; i < 3; ++i) x[i] = 1e30f;
  const Guarded<double> scratch(1);
  EXPECT_NEAR(squared_norm(3, x.data(), scratch.data()), 3e60, 1e54);
}

}  // namespace
}  // namespace spikegpt::test
