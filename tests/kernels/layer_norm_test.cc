#include "spikegpt/kernels/layer_norm.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"
#include "tests/support/finite_difference.h"

namespace spikegpt::test {
namespace {

// One row, as SPEC.md 6 names it.
struct Row {
  std::vector<double> y;
  double mean = 0.0;
  double inverse_std = 0.0;
};
Row normalise(const std::vector<double>& x, const std::vector<double>& weight, const std::vector<double>& bias) {
  const auto count = static_cast<double>(x.size());
  Row row;
  for (const double value : x) row.mean += value / count;
  double variance = 0.0;
  for (const double value : x) variance += (value - row.mean) * (value - row.mean) / count;
  row.inverse_std = 1.0 / std::sqrt(variance + 1e-5);
  for (std::size_t c = 0; c < x.size(); ++c) {
    row.y.push_back((x[c] - row.mean) * row.inverse_std * weight[c] + bias[c]);
  }
  return row;
}

// d_x of one row: the derivative of (x - mean) / std projects out the constant and x itself.
std::vector<double> row_gradient(const std::vector<double>& x, const std::vector<double>& weight, const Row& row,
                                 const std::vector<double>& d_y) {
  const auto count = static_cast<double>(x.size());
  double along_one = 0.0;
  double along_x = 0.0;
  for (std::size_t c = 0; c < x.size(); ++c) {
    along_one += d_y[c] * weight[c] / count;
    along_x += d_y[c] * weight[c] * (x[c] - row.mean) * row.inverse_std / count;
  }
  std::vector<double> d_x;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const double normal = (x[c] - row.mean) * row.inverse_std;
    d_x.push_back(row.inverse_std * (d_y[c] * weight[c] - along_one - normal * along_x));
  }
  return d_x;
}

TEST(LayerNormReference, GradientIsTheDerivative) {
  RandomStream random = random_stream(61);
  std::vector<double> x;
  std::vector<double> weight;
  std::vector<double> bias;
  std::vector<double> d_y;
  for (int c = 0; c < 7; ++c) {
    x.push_back(random.next_normal());
    weight.push_back(random.next_normal());
    bias.push_back(random.next_normal());
    d_y.push_back(random.next_normal());
  }
  const auto objective = [&] {
    const Row row = normalise(x, weight, bias);
    double sum = 0.0;
    for (std::size_t c = 0; c < x.size(); ++c) sum += d_y[c] * row.y[c];
    return sum;
  };
  expect_close(row_gradient(x, weight, normalise(x, weight, bias), d_y), finite_differences(x, objective), {1e-8, 1e-9},
               "d_x");
}

template <class A>
class LayerNorm : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(LayerNorm, ActivationTypes);

struct Size {
  std::int64_t rows;
  std::int64_t channels;
};
std::vector<Size> all_sizes() {
  std::vector<Size> sizes;
  for (const std::int64_t channels : {1, 3, 13, 63, 64, 65, 130}) {
    for (const std::int64_t rows : {1, 2, 63, 64, 65, 129}) sizes.push_back({rows, channels});
  }
  return sizes;
}

template <class A>
struct Inputs {
  Inputs(const Size& s, std::uint64_t seed)
      : size(s),
        x(s.rows * s.channels),
        weight(s.channels),
        bias(s.channels),
        d_y(s.rows * s.channels),
        before(s.rows * s.channels),
        d_weight_before(s.channels),
        d_bias_before(s.channels) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 2.0, x, 0.5);
    fill_normal(random, 0.5, weight, 1.0);
    fill_normal(random, 0.5, bias);
    fill_normal(random, 1.0, d_y);
    fill_normal(random, 1.0, before);
    fill_normal(random, 1.0, d_weight_before);
    fill_normal(random, 1.0, d_bias_before);
  }
  std::vector<double> row(const std::vector<double>& all, std::int64_t i) const {
    return {all.begin() + i * size.channels, all.begin() + (i + 1) * size.channels};
  }
  Size size;
  Guarded<float> x;
  Guarded<float> weight;
  Guarded<float> bias;
  Guarded<A> d_y;
  Guarded<float> before;  // of d_x, to be added to
  Guarded<float> d_weight_before;
  Guarded<float> d_bias_before;
};

template <class A>
struct Statistics {
  explicit Statistics(const Inputs<A>& in) : mean(in.size.rows), inverse_std(in.size.rows) {}
  Guarded<float> mean;
  Guarded<float> inverse_std;
};

template <class A>
Outputs run_forward(const Inputs<A>& in, const Statistics<A>& statistics) {
  const Guarded<A> y(in.x.size());
  layer_norm_forward<A>(
      in.size.rows, in.size.channels,
      {in.x.data(), in.weight.data(), in.bias.data(), y.data(), statistics.mean.data(), statistics.inverse_std.data()});
  return {{"y", floats(y)}, {"mean", floats(statistics.mean)}, {"inverse_std", floats(statistics.inverse_std)}};
}

enum class Place { kAdded, kOverwritten, kOverIncoming };

template <class A>
Outputs run_backward(const Inputs<A>& in, const Statistics<A>& statistics, Place place) {
  const Guarded<float> d_x(in.x.size());
  const Guarded<float> d_weight(in.size.channels);
  const Guarded<float> d_bias(in.size.channels);
  const Guarded<float> scratch(layer_norm_scratch_size(in.size.rows, in.size.channels));
  copy_values(in.d_weight_before, d_weight);
  copy_values(in.d_bias_before, d_bias);
  LayerNormBackward<A> norm;
  norm.x = in.x.data();
  norm.weight = in.weight.data();
  norm.mean = statistics.mean.data();
  norm.inverse_std = statistics.inverse_std.data();
  norm.d_y = in.d_y.data();
  norm.d_x = d_x.data();
  norm.accumulate = place == Place::kAdded;
  norm.d_weight = d_weight.data();
  norm.d_bias = d_bias.data();
  norm.scratch = scratch.data();
  if (place == Place::kAdded) copy_values(in.before, d_x);
  if constexpr (std::is_same_v<A, float>) {
    if (place == Place::kOverIncoming) {
      copy_values(in.d_y, d_x);
      norm.d_y = d_x.data();
    }
  }
  layer_norm_backward(in.size.rows, in.size.channels, norm);
  EXPECT_TRUE(scratch.intact());
  return {{"d_x", floats(d_x)}, {"d_weight", floats(d_weight)}, {"d_bias", floats(d_bias)}};
}

template <class A>
void expect_forward(const Inputs<A>& in, const Outputs& actual, Tolerance tolerance) {
  std::vector<double> y;
  std::vector<double> mean;
  std::vector<double> inverse_std;
  const std::vector<double> x = doubles(in.x);
  for (std::int64_t i = 0; i < in.size.rows; ++i) {
    const Row row = normalise(in.row(x, i), doubles(in.weight), doubles(in.bias));
    y.insert(y.end(), row.y.begin(), row.y.end());
    mean.push_back(row.mean);
    inverse_std.push_back(row.inverse_std);
  }
  expect_close(actual.at("y"), y, rounded<A>(tolerance), "y");
  expect_close(actual.at("mean"), mean, tolerance, "mean");
  expect_close(actual.at("inverse_std"), inverse_std, tolerance, "inverse_std");
}

template <class A>
void expect_backward(const Inputs<A>& in, const Outputs& actual, bool added) {
  std::vector<double> d_x;
  std::vector<double> d_weight = doubles(in.d_weight_before);
  std::vector<double> d_bias = doubles(in.d_bias_before);
  double sharpest = 0.0;  // 1 / std of the row whose values lie closest together
  const std::vector<double> all_x = doubles(in.x);
  const std::vector<double> all_d_y = doubles(in.d_y);
  for (std::int64_t i = 0; i < in.size.rows; ++i) {
    const std::vector<double> x = in.row(all_x, i);
    const std::vector<double> d_y = in.row(all_d_y, i);
    const Row row = normalise(x, doubles(in.weight), doubles(in.bias));
    sharpest = std::max(sharpest, row.inverse_std);
    const std::vector<double> own = row_gradient(x, doubles(in.weight), row, d_y);
    for (std::size_t c = 0; c < x.size(); ++c) {
      d_x.push_back(own[c] + (added ? as_double(in.before[static_cast<std::int64_t>(d_x.size())]) : 0.0));
      d_weight[c] += d_y[c] * (x[c] - row.mean) * row.inverse_std;
      d_bias[c] += d_y[c];
    }
  }
  // A few channels that lie close together: the rounding of their differences, times 1 / std,
  // twice.
  expect_close(actual.at("d_x"), d_x, {1e-5, 1e-6 * (1.0 + largest(d_x)) + 2e-7 * sharpest * sharpest}, "d_x");
  expect_close(actual.at("d_weight"), d_weight, {1e-5, 2e-6 * (1.0 + largest(d_weight))}, "d_weight");
  expect_close(actual.at("d_bias"), d_bias, {1e-5, 2e-6 * (1.0 + largest(d_bias))}, "d_bias");
}

TYPED_TEST(LayerNorm, ForwardAndBackwardAtAllSizes) {
  std::uint64_t seed = 400;
  for (const Size& size : all_sizes()) {
    SCOPED_TRACE(fmt::format("{} rows of {}", size.rows, size.channels));
    const Inputs<TypeParam> in(size, ++seed);
    const Statistics<TypeParam> statistics(in);
    const Outputs forward = same_everywhere([&] { return run_forward(in, statistics); });
    expect_forward(in, forward, {1e-5, 5e-6});
    const Place place = seed % 2 == 0 ? Place::kAdded : Place::kOverwritten;
    const Outputs backward = same_everywhere([&] { return run_backward(in, statistics, place); });
    expect_backward(in, backward, place == Place::kAdded);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(LayerNorm, WritesOverTheIncomingGradient) {
  const Inputs<float> in({65, 130}, 62);
  const Statistics<float> statistics(in);
  run_forward(in, statistics);
  expect_same_bits(run_backward(in, statistics, Place::kOverwritten),
                   run_backward(in, statistics, Place::kOverIncoming), "in place");
}

// An input that is not the residual stream has the activation type itself.
TEST(LayerNorm, NarrowInput) {
  const Inputs<Bf16> in({65, 130}, 66);
  const Guarded<Bf16> narrow(in.x.size());
  for (std::int64_t i = 0; i < in.x.size(); ++i) {
    narrow[i] = to_bf16(in.x[i]);
    in.x[i] = to_float(narrow[i]);
  }
  const Statistics<Bf16> statistics(in);
  const Outputs forward = run_forward(in, statistics);
  const Outputs backward = run_backward(in, statistics, Place::kOverwritten);
  const Outputs actual = same_everywhere([&] {
    const Guarded<Bf16> y(in.x.size());
    const Guarded<Bf16> d_x(in.x.size());  // over the incoming gradient
    copy_values(in.d_y, d_x);
    const Guarded<float> d_weight(in.size.channels);
    const Guarded<float> d_bias(in.size.channels);
    copy_values(in.d_weight_before, d_weight);
    copy_values(in.d_bias_before, d_bias);
    const Guarded<float> scratch(layer_norm_scratch_size(in.size.rows, in.size.channels));
    layer_norm_forward<Bf16, Bf16>(
        in.size.rows, in.size.channels,
        {.x = narrow.data(), .weight = in.weight.data(), .bias = in.bias.data(), .y = y.data()});
    layer_norm_backward<Bf16, Bf16>(in.size.rows, in.size.channels,
                                    {.x = narrow.data(),
                                     .weight = in.weight.data(),
                                     .mean = statistics.mean.data(),
                                     .inverse_std = statistics.inverse_std.data(),
                                     .d_y = d_x.data(),
                                     .d_x = d_x.data(),
                                     .accumulate = false,
                                     .d_weight = d_weight.data(),
                                     .d_bias = d_bias.data(),
                                     .scratch = scratch.data()});
    return Outputs{{"y", floats(y)}, {"d_x", floats(d_x)}, {"d_weight", floats(d_weight)}, {"d_bias", floats(d_bias)}};
  });
  std::vector<float> d_x = backward.at("d_x");
  for (float& value : d_x) value = to_float(to_bf16(value));
  expect_same_bits(
      {{"y", forward.at("y")}, {"d_x", d_x}, {"d_weight", backward.at("d_weight")}, {"d_bias", backward.at("d_bias")}},
      actual, "from a narrow input");
}

TYPED_TEST(LayerNorm, StatisticsAreOptional) {
  const Inputs<TypeParam> in({3, 65}, 63);
  const Outputs expected = run_forward(in, Statistics<TypeParam>(in));
  const Guarded<TypeParam> y(in.x.size());
  layer_norm_forward<TypeParam>(3, 65, {in.x.data(), in.weight.data(), in.bias.data(), y.data()});
  EXPECT_EQ(floats(y), expected.at("y"));
}

TEST(LayerNorm, RowsFarFromZeroSmallRowsAndConstantRows) {
  const Inputs<float> in({3, 130}, 64);
  for (std::int64_t c = 0; c < 130; ++c) {
    in.x[c] += 1000.0f;
    in.x[130 + c] *= 1e-3f;
    in.x[260 + c] = 7.25f;
  }
  const Outputs actual = run_forward(in, Statistics<float>(in));
  // Around 1000 a float is 6e-5 apart, and so is the mean.
  expect_forward(in, actual, {1e-4, 2e-4});
  for (std::int64_t c = 0; c < 130; ++c) {
    EXPECT_EQ(actual.at("y")[static_cast<std::size_t>(260 + c)], in.bias[c]);
  }
}

}  // namespace
}  // namespace spikegpt::test
