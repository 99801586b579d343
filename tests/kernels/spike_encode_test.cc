#include "spikegpt/kernels/spike_encode.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"
#include "tests/kernels/lif_cases.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::test {
namespace {

constexpr std::int64_t kVocabulary = 11;

struct Inputs {
  Inputs(std::int64_t n, std::int64_t c, std::uint64_t seed)
      : channels(c), weight(kVocabulary * c), d_x(n * c), d_weight_before(kVocabulary * c) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 1.0, weight);
    fill_normal(random, 1.0, d_x);
    fill_normal(random, 1.0, d_weight_before);
    weight[0] = 0.0f;  // exactly zero is a spike
    weight[kVocabulary * c - 1] = -0.0f;
    for (std::int64_t i = 0; i < n; ++i) {
      // Few tokens, so that they repeat; token 10, the last row, is always among them.
      tokens.push_back(i == n / 2 ? 10 : static_cast<std::int32_t>(random.next_below(4)));
    }
  }
  std::int64_t channels;
  std::vector<std::int32_t> tokens;
  Guarded<float> weight;
  Guarded<float> d_x;
  Guarded<float> d_weight_before;
};

Outputs run_forward(const Inputs& in, const EmbeddingMode& mode) {
  const Guarded<float> x(in.d_x.size());
  embedding_forward(in.tokens, in.channels, mode, in.weight.data(), x.data());
  return {{"x", floats(x)}};
}
Outputs run_backward(const Inputs& in, const EmbeddingMode& mode) {
  const Guarded<float> d_weight(in.weight.size());
  copy_values(in.d_weight_before, d_weight);
  embedding_backward(in.tokens, in.channels, mode, {in.weight.data(), in.d_x.data(), d_weight.data()});
  return {{"d_weight", floats(d_weight)}};
}

void expect_embedding(const Inputs& in, const EmbeddingMode& mode) {
  std::vector<double> x;
  std::vector<double> d_weight = doubles(in.d_weight_before);
  for (const std::int32_t token : in.tokens) {
    for (std::int64_t c = 0; c < in.channels; ++c) {
      const std::int64_t where = token * in.channels + c;
      const double w = as_double(in.weight[where]);
      const auto smooth = reference::surrogate(mode.surrogate, w);
      const double spike = mode.fire == FireMode::kSpike ? (w >= 0.0 ? 1.0 : 0.0) : smooth.primitive;
      d_weight[static_cast<std::size_t>(where)] +=
          as_double(in.d_x[static_cast<std::int64_t>(x.size())]) * (mode.binary ? smooth.gradient : 1.0);
      x.push_back(mode.binary ? spike : w);
    }
  }
  const bool exact = !mode.binary || mode.fire == FireMode::kSpike;
  const Outputs forward = same_everywhere([&] { return run_forward(in, mode); });
  expect_close(forward.at("x"), x, exact ? Tolerance{} : Tolerance{1e-6, 1e-6}, "x");
  const Outputs backward = same_everywhere([&] { return run_backward(in, mode); });
  expect_close(backward.at("d_weight"), d_weight, {1e-5, 1e-5}, "d_weight");
}

TEST(Embedding, ForwardAndBackwardAtAllSizes) {
  std::uint64_t seed = 500;
  for (const std::int64_t channels : {1, 3, 13, 63, 64, 65, 130}) {
    for (const std::int64_t n : {1, 2, 63, 64, 65, 129}) {
      SCOPED_TRACE(fmt::format("{} tokens, {} channels", n, channels));
      const Inputs in(n, channels, ++seed);
      expect_embedding(in, {true, {}, FireMode::kSpike});
      expect_embedding(in, {false, {}, FireMode::kSpike});
    }
  }
}

TEST(Embedding, EverySurrogate) {
  const Inputs in(33, 65, 71);
  for (const SurrogateKind kind : all_surrogates()) {
    SCOPED_TRACE(name_of(kind));
    for (const FireMode fire : {FireMode::kSpike, FireMode::kSmooth}) expect_embedding(in, {true, {kind, 1.5f}, fire});
  }
}

TEST(Embedding, TokensThatDoNotOccurKeepTheirGradient) {
  const Inputs in(33, 13, 72);
  const Outputs out = run_backward(in, {});
  for (std::int64_t i = 4 * 13; i < 10 * 13; ++i) {
    EXPECT_EQ(out.at("d_weight")[static_cast<std::size_t>(i)], in.d_weight_before[i]);
  }
}

}  // namespace
}  // namespace spikegpt::test
