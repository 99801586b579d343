// Attention as a scan: against the sums that define it, in pieces, with exponents far beyond what a
// float holds, and backward against derivatives of those sums.
#include "spikegpt/kernels/wkv_scan.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_case.h"
#include "tests/support/finite_difference.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::test {
namespace {

// First the scalar formulas: what they call a gradient is one, carried state and last state
// included.
TEST(WkvReference, GradientIsTheDerivative) {
  RandomStream random = random_stream(41);
  for (int trial = 0; trial < 20; ++trial) {
    reference::WkvChannel c;
    c.time_decay = 1.5 * random.next_normal() - 1.0;
    c.time_first = random.next_normal();
    c.numerator = trial % 2 == 0 ? 0.0 : random.next_normal();
    c.denominator = trial % 2 == 0 ? 0.0 : 1.0 + random.next_uniform();
    c.max_exponent = trial % 2 == 0 ? -1e38 : random.next_normal();
    std::vector<double> d_output;
    for (int t = 0; t < 7; ++t) {
      c.receptance.push_back(random.next_normal());
      c.key.push_back(1.5 * random.next_normal());
      c.value.push_back(random.next_normal());
      d_output.push_back(random.next_normal());
    }
    const double d_numerator = random.next_normal();
    const double d_denominator = random.next_normal();
    const double out_exponent = reference::last_exponent(c);
    const auto objective = [&] {
      const auto trace = reference::wkv_forward(c, out_exponent);
      double sum = d_numerator * trace.numerator + d_denominator * trace.denominator;
      for (std::size_t t = 0; t < c.tokens(); ++t) sum += d_output[t] * trace.output[t];
      return sum;
    };
    const auto gradient =
        reference::wkv_backward(c, reference::wkv_forward(c, out_exponent), d_output, d_numerator, d_denominator);
    const Tolerance tolerance{1e-7, 1e-8};
    const auto expect_derivative = [&](double& of, double is, const char* name) {
      expect_close(std::vector<double>{is}, finite_differences({&of, 1}, objective), tolerance, name);
    };
    expect_derivative(c.time_decay, gradient.d_time_decay, "d_time_decay");
    expect_derivative(c.time_first, gradient.d_time_first, "d_time_first");
    expect_derivative(c.numerator, gradient.d_numerator, "d_numerator");
    expect_derivative(c.denominator, gradient.d_denominator, "d_denominator");
    expect_close(gradient.d_receptance, finite_differences(c.receptance, objective), tolerance, "d_receptance");
    expect_close(gradient.d_key, finite_differences(c.key, objective), tolerance, "d_key");
    expect_close(gradient.d_value, finite_differences(c.value, objective), tolerance, "d_value");
  }
}

template <class A>
class Wkv : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(Wkv, ActivationTypes);

struct State {
  explicit State(std::int64_t size) : numerator(size), denominator(size), max_exponent(size) {}
  WkvState view() const { return {numerator.data(), denominator.data(), max_exponent.data()}; }
  Guarded<float> numerator;
  Guarded<float> denominator;
  Guarded<float> max_exponent;
};

template <class A>
struct Inputs {
  Inputs(const SequenceShape& s, std::uint64_t seed)
      : shape(s),
        time_decay(s.channels),
        time_first(s.channels),
        receptance(s.size()),
        key(s.size()),
        value(s.size()),
        d_output(s.size()),
        in(s.batch * s.channels),
        d_out(s.batch * s.channels) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 2.0, time_decay, -1.5);
    fill_normal(random, 1.0, time_first);
    fill_normal(random, 2.0, receptance);
    fill_normal(random, 1.5, key);
    fill_normal(random, 1.0, value);
    fill_normal(random, 1.0, d_output);
    fill_normal(random, 1.0, in.numerator);
    fill_normal(random, 0.2, in.denominator, 1.5);
    fill_normal(random, 1.0, in.max_exponent);
    fill_normal(random, 1.0, d_out.numerator);
    fill_normal(random, 1.0, d_out.denominator);
    for (std::int64_t i = 0; i < in.denominator.size(); ++i) in.denominator[i] = std::max(1.0f, in.denominator[i]);
  }
  WkvWeights weights() const { return {time_decay.data(), time_first.data()}; }
  reference::WkvChannel channel(std::int64_t b, std::int64_t c, bool carried) const {
    reference::WkvChannel out;
    out.time_decay = as_double(time_decay[c]);
    out.time_first = as_double(time_first[c]);
    out.receptance = series(shape, receptance, b, c);
    out.key = series(shape, key, b, c);
    out.value = series(shape, value, b, c);
    if (!carried) return out;
    const std::int64_t i = b * shape.channels + c;
    out.numerator = as_double(in.numerator[i]);
    out.denominator = as_double(in.denominator[i]);
    out.max_exponent = as_double(in.max_exponent[i]);
    return out;
  }

  SequenceShape shape;
  Guarded<float> time_decay;
  Guarded<float> time_first;
  Guarded<A> receptance;
  Guarded<A> key;
  Guarded<A> value;
  Guarded<A> d_output;
  State in;
  State d_out;
};

template <class A>
Outputs run_forward(const Inputs<A>& in, bool carried) {
  const Guarded<A> output(in.shape.size());
  const State out(in.shape.batch * in.shape.channels);
  WkvForward<A> scan;
  scan.receptance = in.receptance.data();
  scan.key = in.key.data();
  scan.value = in.value.data();
  scan.output = output.data();
  if (carried) scan.in = in.in.view();
  scan.out = out.view();
  wkv_forward(in.shape, in.weights(), scan);
  return {{"output", floats(output)},
          {"numerator", floats(out.numerator)},
          {"denominator", floats(out.denominator)},
          {"max_exponent", floats(out.max_exponent)}};
}

// Puts the values of one channel over time into [B, T, C].
void scatter(const SequenceShape& shape, std::int64_t b, std::int64_t c, const std::vector<double>& from,
             std::vector<double>& to) {
  to.resize(static_cast<std::size_t>(shape.size()));
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    to[static_cast<std::size_t>(at(shape, b, t, c))] = from[static_cast<std::size_t>(t)];
  }
}

template <class A>
void expect_forward(const Inputs<A>& in, bool carried, const Outputs& actual, Tolerance tolerance) {
  const SequenceShape& shape = in.shape;
  std::vector<double> output;
  std::vector<double> numerator;
  std::vector<double> denominator;
  std::vector<double> max_exponent;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      const auto channel = in.channel(b, c, carried);
      const auto trace = reference::wkv_forward(channel, reference::last_exponent(channel));
      scatter(shape, b, c, trace.output, output);
      numerator.push_back(trace.numerator);
      denominator.push_back(trace.denominator);
      max_exponent.push_back(trace.max_exponent);
    }
  }
  expect_close(actual.at("output"), output, rounded<A>(tolerance), "output");
  // Each token rounds the running exponent once, of up to 8 here, and old weights keep all of these
  // errors.
  tolerance.absolute += static_cast<double>(shape.tokens) * 0x1p-21 / 2.0;
  expect_close(actual.at("numerator"), numerator, tolerance, "numerator");
  expect_close(actual.at("denominator"), denominator, tolerance, "denominator");
  expect_close(actual.at("max_exponent"), max_exponent, {1e-5, 1e-5}, "max_exponent");
}

template <class A>
Outputs run_backward(const Inputs<A>& in, bool carried, bool in_place = false) {
  const SequenceShape& shape = in.shape;
  const Guarded<A> d_receptance(shape.size());
  const Guarded<A> d_key(shape.size());
  const Guarded<A> d_value(shape.size());
  const Guarded<float> d_time_decay(shape.channels);
  const Guarded<float> d_time_first(shape.channels);
  const State d_in(shape.batch * shape.channels);
  const Guarded<float> scratch(wkv_scratch_size(shape), 0);
  for (std::int64_t c = 0; c < shape.channels; ++c) d_time_decay[c] = 2.0f, d_time_first[c] = -3.0f;
  WkvBackward<A> scan;
  scan.receptance = in.receptance.data();
  scan.key = in.key.data();
  scan.value = in.value.data();
  scan.d_output = in.d_output.data();
  if (in_place) {
    copy_values(in.d_output, d_receptance);
    scan.d_output = d_receptance.data();
  }
  scan.d_receptance = d_receptance.data();
  scan.d_key = d_key.data();
  scan.d_value = d_value.data();
  scan.d_time_decay = d_time_decay.data();
  scan.d_time_first = d_time_first.data();
  if (carried) {
    scan.in = in.in.view();
    scan.d_state_out = {in.d_out.numerator.data(), in.d_out.denominator.data(), nullptr};
    scan.d_state_in = {d_in.numerator.data(), d_in.denominator.data(), nullptr};
  }
  scan.scratch = scratch.data();
  wkv_backward(shape, in.weights(), scan);
  EXPECT_TRUE(scratch.intact());
  Outputs out = {{"d_receptance", floats(d_receptance)},
                 {"d_key", floats(d_key)},
                 {"d_value", floats(d_value)},
                 {"d_time_decay", floats(d_time_decay)},
                 {"d_time_first", floats(d_time_first)}};
  if (carried) out["d_numerator"] = floats(d_in.numerator), out["d_denominator"] = floats(d_in.denominator);
  return out;
}

template <class A>
void expect_backward(const Inputs<A>& in, bool carried, const Outputs& actual, double precision = 2e-6) {
  const SequenceShape& shape = in.shape;
  std::map<std::string, std::vector<double>> expected;
  expected["d_time_decay"].assign(static_cast<std::size_t>(shape.channels), 2.0);
  expected["d_time_first"].assign(static_cast<std::size_t>(shape.channels), -3.0);
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      const std::int64_t i = b * shape.channels + c;
      const auto channel = in.channel(b, c, carried);
      const auto trace = reference::wkv_forward(channel, reference::last_exponent(channel));
      const auto gradient = reference::wkv_backward(channel, trace, series(shape, in.d_output, b, c),
                                                    carried ? as_double(in.d_out.numerator[i]) : 0.0,
                                                    carried ? as_double(in.d_out.denominator[i]) : 0.0);
      scatter(shape, b, c, gradient.d_receptance, expected["d_receptance"]);
      scatter(shape, b, c, gradient.d_key, expected["d_key"]);
      scatter(shape, b, c, gradient.d_value, expected["d_value"]);
      expected["d_time_decay"][static_cast<std::size_t>(c)] += gradient.d_time_decay;
      expected["d_time_first"][static_cast<std::size_t>(c)] += gradient.d_time_first;
      if (carried) expected["d_numerator"].push_back(gradient.d_numerator);
      if (carried) expected["d_denominator"].push_back(gradient.d_denominator);
    }
  }
  for (const auto& [name, values] : expected) {
    const bool narrow = values.size() == static_cast<std::size_t>(shape.size()) && actual.count(name) != 0 &&
                        (name == "d_receptance" || name == "d_key" || name == "d_value");
    const Tolerance tolerance{5.0 * precision, precision * (1.0 + largest(values))};
    expect_close(actual.at(name), values, narrow ? rounded<A>(tolerance) : tolerance, name);
  }
}

TYPED_TEST(Wkv, ForwardIsTheSumsAtAllSizes) {
  std::uint64_t seed = 50;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<TypeParam> in(shape, ++seed);
    for (const bool carried : {false, true}) {
      const Outputs actual = same_everywhere([&] { return run_forward(in, carried); });
      expect_forward(in, carried, actual, {5e-6, 5e-6});
    }
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(Wkv, BackwardIsTheDerivativeAtAllSizes) {
  std::uint64_t seed = 150;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<TypeParam> in(shape, ++seed);
    for (const bool carried : {false, true}) {
      const Outputs actual = same_everywhere([&] { return run_backward(in, carried); });
      expect_backward(in, carried, actual, 5e-6);
    }
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(Wkv, WritesOverTheIncomingGradient) {
  const Inputs<TypeParam> in({3, 17, 130}, 42);
  expect_same_bits(run_backward(in, true), run_backward(in, true, true), "in place");
}

TYPED_TEST(Wkv, CutInPiecesIsTheWhole) {
  using A = TypeParam;
  const SequenceShape shape{1, 33, 65};
  const Inputs<A> in(shape, 43);
  const Outputs whole = run_forward(in, true);
  const Guarded<A> output(shape.size());
  const State state(shape.channels);  // carried in place
  copy_values(in.in.numerator, state.numerator);
  copy_values(in.in.denominator, state.denominator);
  copy_values(in.in.max_exponent, state.max_exponent);
  std::int64_t token = 0;
  for (const std::int64_t tokens : {1, 16, 2, 14}) {
    const std::int64_t offset = token * shape.channels;
    WkvForward<A> scan;
    scan.receptance = in.receptance.data() + offset;
    scan.key = in.key.data() + offset;
    scan.value = in.value.data() + offset;
    scan.output = output.data() + offset;
    scan.in = state.view();
    scan.out = state.view();
    wkv_forward({1, tokens, shape.channels}, in.weights(), scan);
    token += tokens;
  }
  expect_same_bits(whole,
                   {{"output", floats(output)},
                    {"numerator", floats(state.numerator)},
                    {"denominator", floats(state.denominator)},
                    {"max_exponent", floats(state.max_exponent)}},
                   "in pieces");
}

// Gradients of two halves, the state's gradient carried back across the cut, are the gradients of
// the whole.
TEST(Wkv, CarriesTheGradientAcrossACut) {
  const SequenceShape whole_shape{1, 17, 65};
  const Inputs<float> in(whole_shape, 44);
  const Outputs whole = run_backward(in, true);
  const std::int64_t cut = 7 * whole_shape.channels;
  const State middle(whole_shape.channels);
  const State d_state(whole_shape.channels);  // in place
  copy_values(in.d_out.numerator, d_state.numerator);
  copy_values(in.d_out.denominator, d_state.denominator);
  const Guarded<float> output(whole_shape.size());
  WkvForward<float> forward{in.receptance.data(), in.key.data(), in.value.data(),
                            output.data(),        in.in.view(),  middle.view()};
  wkv_forward({1, 7, whole_shape.channels}, in.weights(), forward);
  const Guarded<float> d_receptance(whole_shape.size());
  const Guarded<float> d_key(whole_shape.size());
  const Guarded<float> d_value(whole_shape.size());
  const Guarded<float> d_time_decay(whole_shape.channels);
  const Guarded<float> d_time_first(whole_shape.channels);
  for (std::int64_t c = 0; c < whole_shape.channels; ++c) d_time_decay[c] = 2.0f, d_time_first[c] = -3.0f;
  for (const std::int64_t first : {cut, std::int64_t{0}}) {
    const SequenceShape shape{1, first == 0 ? 7 : 10, whole_shape.channels};
    const Guarded<float> scratch(wkv_scratch_size(shape), 0);
    WkvBackward<float> scan;
    scan.receptance = in.receptance.data() + first;
    scan.key = in.key.data() + first;
    scan.value = in.value.data() + first;
    scan.d_output = in.d_output.data() + first;
    scan.in = first == 0 ? in.in.view() : middle.view();
    scan.d_state_out = {d_state.numerator.data(), d_state.denominator.data(), nullptr};
    scan.d_receptance = d_receptance.data() + first;
    scan.d_key = d_key.data() + first;
    scan.d_value = d_value.data() + first;
    scan.d_time_decay = d_time_decay.data();
    scan.d_time_first = d_time_first.data();
    scan.d_state_in = scan.d_state_out;
    scan.scratch = scratch.data();
    wkv_backward(shape, in.weights(), scan);
  }
  // max_exponent is a constant to each half; of the whole its derivatives cancel.
  expect_backward(in, true,
                  {{"d_receptance", floats(d_receptance)},
                   {"d_key", floats(d_key)},
                   {"d_value", floats(d_value)},
                   {"d_time_decay", floats(d_time_decay)},
                   {"d_time_first", floats(d_time_first)},
                   {"d_numerator", floats(d_state.numerator)},
                   {"d_denominator", floats(d_state.denominator)}},
                  5e-6);
  expect_backward(in, true, whole, 5e-6);
}

// Keys of +-200 (e^200 is no float), fast and slow decay, long carried exponents.
template <class A>
Inputs<A> extreme_inputs(const SequenceShape& shape) {
  Inputs<A> in(shape, 45);
  RandomStream random = random_stream(46);
  for (std::int64_t i = 0; i < shape.size(); ++i) {
    const std::int64_t c = i % shape.channels;
    const std::int64_t t = i / shape.channels % shape.tokens;
    double key = 400.0 * random.next_uniform() - 200.0;
    if (c % 5 == 1) key = 200.0;
    if (c % 5 == 2) key = -200.0;
    if (c % 5 == 3) key = t % 2 == 0 ? 200.0 : -200.0;
    in.key[i] = from_float<A>(static_cast<float>(key));
  }
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    in.time_decay[c] = c % 3 == 0 ? 3.0f : (c % 3 == 1 ? -8.0f : 1.0f);
    in.time_first[c] = static_cast<float>(10.0 * random.next_normal());
  }
  for (std::int64_t i = 0; i < in.in.max_exponent.size(); ++i) {
    in.in.max_exponent[i] = static_cast<float>(400.0 * random.next_uniform() - 200.0);
  }
  return in;
}

TYPED_TEST(Wkv, ExtremeExponentsStayFiniteAndRight) {
  const Inputs<TypeParam> in = extreme_inputs<TypeParam>({3, 17, 65});
  for (const bool carried : {false, true}) {
    const Outputs forward = same_everywhere([&] { return run_forward(in, carried); });
    // A difference of exponents of 200 is known to 1.5e-5, and so is its exponential.
    expect_forward(in, carried, forward, {2e-4, 2e-4});
    const Outputs backward = same_everywhere([&] { return run_backward(in, carried); });
    expect_backward(in, carried, backward, 2e-4);
  }
}

TYPED_TEST(Wkv, HugeInputsStayFinite) {
  using A = TypeParam;
  Inputs<A> in({2, 9, 13}, 47);
  const float big = 3e38f;
  const float big_key = 1e37f;  // the state before any token has the exponent -1e38, SPEC.md 4
  for (std::int64_t i = 0; i < in.shape.size(); ++i) {
    in.key[i] = from_float<A>(i % 3 == 0 ? big_key : (i % 3 == 1 ? -big_key : 0.0f));
    in.receptance[i] = from_float<A>(i % 2 == 0 ? big : -big);
  }
  for (std::int64_t c = 0; c < in.shape.channels; ++c) in.time_decay[c] = c % 2 == 0 ? 80.0f : -80.0f;
  for (const bool carried : {false, true}) {
    Outputs all = run_forward(in, carried);
    all.merge(run_backward(in, carried));
    for (const auto& [name, values] : all) {
      for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name;
    }
  }
}

TYPED_TEST(Wkv, OneTokenPassesItsValueThrough) {
  using A = TypeParam;
  const Inputs<A> in({1, 1, 13}, 48);
  const Guarded<A> output(13);
  WkvForward<A> scan;
  scan.receptance = in.receptance.data();
  scan.key = in.key.data();
  scan.value = in.value.data();
  scan.output = output.data();  // neither state
  wkv_forward(in.shape, in.weights(), scan);
  for (std::int64_t c = 0; c < 13; ++c) {
    const double expected = reference::sigmoid(as_double(in.receptance[c])) * as_double(in.value[c]);
    EXPECT_NEAR(as_double(output[c]), expected, std::abs(expected) * (std::is_same_v<A, Bf16> ? 0x1p-8 : 1e-6));
  }
}

}  // namespace
}  // namespace spikegpt::test
