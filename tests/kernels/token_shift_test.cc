#include "spikegpt/kernels/token_shift.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"
#include "tests/support/finite_difference.h"

namespace spikegpt::test {
namespace {

template <class A>
class TokenShift : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(TokenShift, ActivationTypes);

template <class A>
struct Inputs {
  Inputs(const SequenceShape& s, std::uint64_t seed) : shape(s), x(s.size()), previous(s.batch * s.channels) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 1.0, x);
    fill_normal(random, 1.0, previous);
    for (std::size_t j = 0; j < kMaxMixes; ++j) {
      mu.push_back(normal_values<float>(random, s.channels, 0.3, 0.5));
      d_mixed.push_back(normal_values<A>(random, s.size()));
      d_mu_before.push_back(normal_values<float>(random, s.channels));
    }
  }
  // x[t - 1], with what comes before the first token.
  double before(std::int64_t b, std::int64_t t, std::int64_t c, bool carried) const {
    if (t > 0) return as_double(x[at(shape, b, t - 1, c)]);
    return carried ? as_double(previous[b * shape.channels + c]) : 0.0;
  }
  SequenceShape shape;
  Guarded<A> x;
  Guarded<float> previous;
  std::vector<Guarded<float>> mu;
  std::vector<Guarded<A>> d_mixed;
  std::vector<Guarded<float>> d_mu_before;
};

std::string name(const char* what, std::size_t j) { return fmt::format("{}{}", what, j); }

template <class A>
Outputs run_forward(const Inputs<A>& in, std::size_t mixes, bool carried, std::size_t unwanted) {
  std::vector<Guarded<A>> mixed;
  const Guarded<float> last(in.shape.batch * in.shape.channels);
  TokenShiftForward<A> shift;
  shift.x = in.x.data();
  shift.previous = carried ? in.previous.data() : nullptr;
  shift.mixes = mixes;
  shift.last = last.data();
  for (std::size_t j = 0; j < mixes; ++j) {
    mixed.emplace_back(in.shape.size());
    shift.mu[j] = in.mu[j].data();
    shift.mixed[j] = j == unwanted ? nullptr : mixed[j].data();
  }
  token_shift_forward(in.shape, shift);
  Outputs out = {{"last", floats(last)}};
  for (std::size_t j = 0; j < mixes; ++j) {
    if (j != unwanted) out[name("mixed", j)] = floats(mixed[j]);
  }
  return out;
}

template <class A>
Outputs run_backward(const Inputs<A>& in, std::size_t mixes, bool carried, bool in_place) {
  const Guarded<A> d_x(in.shape.size());
  const Guarded<float> scratch(token_shift_scratch_size(in.shape));
  std::vector<Guarded<float>> d_mu;
  TokenShiftBackward<A> shift;
  shift.x = in.x.data();
  shift.previous = carried ? in.previous.data() : nullptr;
  shift.mixes = mixes;
  shift.d_x = d_x.data();
  shift.scratch = scratch.data();
  for (std::size_t j = 0; j < mixes; ++j) {
    d_mu.emplace_back(in.shape.channels);
    copy_values(in.d_mu_before[j], d_mu[j]);
    shift.mu[j] = in.mu[j].data();
    shift.d_mixed[j] = in.d_mixed[j].data();
    shift.d_mu[j] = d_mu[j].data();
  }
  if (in_place) {
    copy_values(in.d_mixed[0], d_x);
    shift.d_mixed[0] = d_x.data();
  }
  token_shift_backward(in.shape, shift);
  EXPECT_TRUE(scratch.intact());
  Outputs out = {{"d_x", floats(d_x)}};
  for (std::size_t j = 0; j < mixes; ++j) out[name("d_mu", j)] = floats(d_mu[j]);
  return out;
}

// SPEC.md 3, and its derivative: x[t] reaches the mixes of tokens t and t + 1.
template <class A>
void expect_forward(const Inputs<A>& in, std::size_t mixes, bool carried, const Outputs& actual) {
  const SequenceShape& s = in.shape;
  for (std::size_t j = 0; j < mixes; ++j) {
    if (actual.count(name("mixed", j)) == 0) continue;
    std::vector<double> mixed;
    for (std::int64_t i = 0; i < s.size(); ++i) {
      const std::int64_t c = i % s.channels;
      const std::int64_t t = i / s.channels % s.tokens;
      const double mu = as_double(in.mu[j][c]);
      mixed.push_back(as_double(in.x[i]) * mu + in.before(i / s.channels / s.tokens, t, c, carried) * (1.0 - mu));
    }
    expect_close(actual.at(name("mixed", j)), mixed, rounded<A>({1e-6, 1e-6}), name("mixed", j));
  }
  std::vector<double> last;
  for (std::int64_t i = 0; i < s.batch * s.channels; ++i) {
    last.push_back(as_double(in.x[at(s, i / s.channels, s.tokens - 1, i % s.channels)]));
  }
  expect_close(actual.at("last"), last, {}, "last");
}

template <class A>
void expect_backward(const Inputs<A>& in, std::size_t mixes, bool carried, const Outputs& actual) {
  const SequenceShape& s = in.shape;
  std::vector<double> d_x(static_cast<std::size_t>(s.size()));
  for (std::size_t j = 0; j < mixes; ++j) {
    std::vector<double> d_mu = doubles(in.d_mu_before[j]);
    for (std::int64_t i = 0; i < s.size(); ++i) {
      const std::int64_t c = i % s.channels;
      const std::int64_t t = i / s.channels % s.tokens;
      const double mu = as_double(in.mu[j][c]);
      const double d = as_double(in.d_mixed[j][i]);
      d_x[static_cast<std::size_t>(i)] += d * mu;
      if (t > 0) d_x[static_cast<std::size_t>(i - s.channels)] += d * (1.0 - mu);
      d_mu[static_cast<std::size_t>(c)] +=
          d * (as_double(in.x[i]) - in.before(i / s.channels / s.tokens, t, c, carried));
    }
    expect_close(actual.at(name("d_mu", j)), d_mu, {1e-6, 2e-6 * (1.0 + largest(d_mu))}, name("d_mu", j));
  }
  expect_close(actual.at("d_x"), d_x, rounded<A>({1e-6, 2e-6}), "d_x");
}

TYPED_TEST(TokenShift, MixesWithTheTokenBefore) {
  std::uint64_t seed = 200;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<TypeParam> in(shape, ++seed);
    const bool carried = seed % 2 == 0;
    const std::size_t mixes = 1 + seed % kMaxMixes;
    const std::size_t unwanted = seed % 5;
    const Outputs actual = same_everywhere([&] { return run_forward(in, mixes, carried, unwanted); });
    expect_forward(in, mixes, carried, actual);
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(TokenShift, BackwardIsTheDerivative) {
  std::uint64_t seed = 300;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<TypeParam> in(shape, ++seed);
    const bool carried = seed % 2 == 0;
    const std::size_t mixes = 1 + seed % kMaxMixes;
    const Outputs actual = same_everywhere([&] { return run_backward(in, mixes, carried, false); });
    expect_backward(in, mixes, carried, actual);
    expect_same_bits(actual, run_backward(in, mixes, carried, true), "in place");
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(TokenShift, CutInPiecesIsTheWhole) {
  using A = TypeParam;
  const SequenceShape shape{1, 17, 65};
  const Inputs<A> in(shape, 7);
  const Outputs whole = run_forward(in, 1, true, kMaxMixes);
  const Guarded<A> mixed(shape.size());
  const Guarded<float> carried(shape.channels);
  copy_values(in.previous, carried);
  std::int64_t token = 0;
  for (const std::int64_t tokens : {1, 0, 9, 7}) {
    TokenShiftForward<A> shift;
    shift.x = in.x.data() + token * shape.channels;
    shift.previous = carried.data();
    shift.mixes = 1;
    shift.mu[0] = in.mu[0].data();
    shift.mixed[0] = mixed.data() + token * shape.channels;
    shift.last = carried.data();
    token_shift_forward({1, tokens, shape.channels}, shift);
    token += tokens;
  }
  expect_same_bits(whole, {{"mixed0", floats(mixed)}, {"last", floats(carried)}}, "in pieces");
}

// Columns of wider rows, scaled: as the same columns by themselves, and the scale is a power of two.
TYPED_TEST(TokenShift, OfColumnsIsThatOfTheColumns) {
  using A = TypeParam;
  for (const SequenceShape& shape : {SequenceShape{2, 9, 37}, SequenceShape{3, 1, 130}, SequenceShape{1, 33, 256}}) {
    SCOPED_TRACE(text_of(shape));
    const std::int64_t first = 5;
    const SequenceShape wide = {shape.batch, shape.tokens, shape.channels + 19};
    const Inputs<A> in(shape, 11);
    const auto widen = [&](const auto& narrow, std::int64_t rows, auto& all) {
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t c = 0; c < shape.channels; ++c) {
          all[row * wide.channels + first + c] = narrow[row * shape.channels + c];
        }
      }
    };
    Guarded<A> x(wide.size());
    Guarded<float> previous(wide.batch * wide.channels);
    widen(in.x, shape.rows(), x);
    widen(in.previous, shape.batch, previous);

    const Outputs actual = same_everywhere([&] {
      const Guarded<A> mixed(shape.size());
      const Guarded<float> last(wide.batch * wide.channels);
      TokenShiftForward<A> forward;
      forward.x = x.data() + first;
      forward.stride = wide.channels;
      forward.scale = 0.25f;
      forward.previous = previous.data() + first;
      forward.mixes = 1;
      forward.mu[0] = in.mu[0].data();
      forward.mixed[0] = mixed.data();
      forward.last = last.data() + first;
      token_shift_forward(shape, forward);

      const Guarded<A> d_x(wide.size());
      const Guarded<float> d_mu(shape.channels);
      const Guarded<float> scratch(token_shift_scratch_size(shape));
      copy_values(in.d_mu_before[0], d_mu);
      TokenShiftBackward<A> backward;
      backward.x = forward.x;
      backward.stride = forward.stride;
      backward.scale = forward.scale;
      backward.previous = forward.previous;
      backward.mixes = 1;
      backward.mu = forward.mu;
      backward.d_mixed[0] = in.d_mixed[0].data();
      backward.d_x = d_x.data() + first;
      backward.d_mu[0] = d_mu.data();
      backward.scratch = scratch.data();
      token_shift_backward(shape, backward);
      return Outputs{{"mixed0", floats(mixed)}, {"last", floats(last)}, {"d_x", floats(d_x)}, {"d_mu0", floats(d_mu)}};
    });

    const auto columns = [&](const std::vector<float>& all, float times) {
      std::vector<float> found;
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto c = static_cast<std::int64_t>(i) % wide.channels - first;
        if (c >= 0 && c < shape.channels) found.push_back(times * all[i]);
      }
      return found;
    };
    const auto scaled = [](std::vector<float> values, float times) {
      for (float& value : values) value *= times;
      return values;
    };
    Outputs forward = {{"mixed0", scaled(actual.at("mixed0"), 4.0f)}, {"last", columns(actual.at("last"), 1.0f)}};
    expect_forward(in, 1, true, forward);
    std::vector<float> d_mu = actual.at("d_mu0");
    for (std::size_t c = 0; c < d_mu.size(); ++c) {
      const float before = in.d_mu_before[0][static_cast<std::int64_t>(c)];
      d_mu[c] = before + 4.0f * (d_mu[c] - before);
    }
    expect_backward(in, 1, true, {{"d_x", columns(actual.at("d_x"), 4.0f)}, {"d_mu0", d_mu}});
  }
}

}  // namespace
}  // namespace spikegpt::test
