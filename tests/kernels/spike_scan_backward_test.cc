// Back-propagation through the spiking scan: the formulas against finite differences, the kernel
// against the formulas.
#include <gtest/gtest.h>

#include "spikegpt/kernels/spike_scan.h"
#include "tests/kernels/kernel_case.h"
#include "tests/kernels/lif_cases.h"
#include "tests/support/finite_difference.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::test {
namespace {

// First the scalar formulas: what they call a gradient is one. A detached reset is held constant.
TEST(LifReference, GradientIsTheDerivative) {
  RandomStream random = random_stream(21);
  for (const LifCase& neuron : lif_cases()) {
    for (const SurrogateKind kind : all_surrogates()) {
      SCOPED_TRACE(neuron.name + ", " + std::string(name_of(kind)));
      LifParameters p = neuron.parameters;
      p.surrogate.kind = kind;
      std::vector<double> x;
      std::vector<double> d_spikes;
      for (std::int64_t t = 0; t < smooth_tokens(kind); ++t) {
        x.push_back(0.7 + 1.6 * random.next_normal());
        d_spikes.push_back(random.next_normal());
      }
      std::vector<double> membrane = {0.3};
      const double d_membrane_out = random.next_normal();
      const auto run = [&](const std::vector<double>* reset) {
        return reference::lif_forward<double>(p, FireMode::kSmooth, x, membrane[0], reset);
      };
      const auto base = run(nullptr);
      const auto objective = [&] {
        const auto trace = run(p.detach_reset ? &base.s : nullptr);
        double sum = d_membrane_out * trace.membrane;
        for (std::size_t t = 0; t < x.size(); ++t) sum += d_spikes[t] * trace.s[t];
        return sum;
      };
      const auto gradient = reference::lif_backward(p, base, d_spikes, d_membrane_out);
      const Tolerance tolerance{1e-6, 1e-7};
      expect_close(gradient.d_x, finite_differences(x, objective), tolerance, "d_x");
      expect_close(std::vector<double>{gradient.d_membrane_in}, finite_differences(membrane, objective), tolerance,
                   "d_membrane_in");
    }
  }
}

// A is the activation type, D that of the incoming gradient.
template <class Types>
class SpikeScanBackwardTest : public testing::Test {};
template <class A, class D>
struct TypePair {
  using Activation = A;
  using Incoming = D;
};
using TypePairs = testing::Types<TypePair<float, float>, TypePair<Bf16, Bf16>, TypePair<Bf16, float>>;
TYPED_TEST_SUITE(SpikeScanBackwardTest, TypePairs);

template <class A, class D>
struct Inputs {
  Inputs(const SequenceShape& s, std::uint64_t seed)
      : shape(s),
        distance(s.size()),
        current(s.size()),
        d_spikes(s.size()),
        gain(s.channels),
        d_membrane_out(s.batch * s.channels),
        d_gain_before(s.channels) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 1.0, distance, -0.3);
    fill_normal(random, 1.6, current, 0.7);
    fill_normal(random, 1.0, d_spikes);
    fill_normal(random, 0.4, gain, 1.0);
    fill_normal(random, 1.0, d_membrane_out);
    fill_normal(random, 1.0, d_gain_before);
    distance[s.size() / 2] = from_float<A>(0.0f);  // exactly at the threshold: fires
  }
  SequenceShape shape;
  Guarded<A> distance;
  Guarded<A> current;
  Guarded<D> d_spikes;
  Guarded<float> gain;
  Guarded<float> d_membrane_out;
  Guarded<float> d_gain_before;
};

struct Use {
  bool gain = true;
  bool membrane = true;  // gradients of the membranes at both ends
  FireMode mode = FireMode::kSpike;
  bool in_place = false;  // d_current in the memory of d_spikes
};

template <class A, class D>
Outputs run_backward(const Inputs<A, D>& in, const LifParameters& neuron, const Use& use) {
  const SequenceShape& shape = in.shape;
  const Guarded<A> d_current(shape.size());
  const Guarded<float> d_gain(shape.channels);
  const Guarded<float> d_membrane_in(shape.batch * shape.channels);
  const Guarded<float> scratch(shape.batch * shape.channels);
  copy_values(in.d_gain_before, d_gain);
  SpikeScanBackward<A, D> scan;
  scan.distance = in.distance.data();
  scan.d_spikes = in.d_spikes.data();
  if constexpr (std::is_same_v<A, D>) {
    if (use.in_place) {
      copy_values(in.d_spikes, d_current);
      scan.d_spikes = d_current.data();
    }
  }
  scan.d_current = d_current.data();
  if (use.gain) {
    scan.current = in.current.data();
    scan.gain = in.gain.data();
    scan.d_gain = d_gain.data();
    scan.scratch = scratch.data();
  }
  if (use.membrane) {
    scan.d_membrane_out = in.d_membrane_out.data();
    scan.d_membrane_in = d_membrane_in.data();
  }
  spike_scan_backward(shape, neuron, use.mode, scan);
  EXPECT_TRUE(scratch.intact());
  Outputs out = {{"d_current", floats(d_current)}};
  if (use.gain) out["d_gain"] = floats(d_gain);
  if (use.membrane) out["d_membrane_in"] = floats(d_membrane_in);
  return out;
}

struct Expected {
  std::vector<double> d_current;
  std::vector<double> d_gain;
  std::vector<double> d_membrane_in;
};

template <class A, class D>
Expected expected_backward(const Inputs<A, D>& in, const LifParameters& neuron, const Use& use) {
  const SequenceShape& shape = in.shape;
  Expected out;
  out.d_current.resize(static_cast<std::size_t>(shape.size()));
  out.d_gain = doubles(in.d_gain_before);
  for (std::int64_t i = 0; i < shape.batch * shape.channels; ++i) {
    const std::int64_t b = i / shape.channels;
    const std::int64_t c = i % shape.channels;
    reference::LifTrace<double> trace;
    for (const double z : series(shape, in.distance, b, c)) {
      trace.h.push_back(z + static_cast<double>(neuron.v_threshold));
      trace.s.push_back(use.mode == FireMode::kSpike ? (z >= 0.0 ? 1.0 : 0.0)
                                                     : reference::surrogate(neuron.surrogate, z).primitive);
    }
    const auto gradient = reference::lif_backward(neuron, trace, series(shape, in.d_spikes, b, c),
                                                  use.membrane ? as_double(in.d_membrane_out[i]) : 0.0);
    const std::vector<double> current = series(shape, in.current, b, c);
    for (std::size_t t = 0; t < current.size(); ++t) {
      const auto where = static_cast<std::size_t>(at(shape, b, static_cast<std::int64_t>(t), c));
      out.d_current[where] = gradient.d_x[t] * (use.gain ? as_double(in.gain[c]) : 1.0);
      out.d_gain[static_cast<std::size_t>(c)] += gradient.d_x[t] * current[t];
    }
    out.d_membrane_in.push_back(gradient.d_membrane_in);
  }
  return out;
}

template <class A, class D>
void expect_backward(const Inputs<A, D>& in, const LifParameters& neuron, const Use& use) {
  const Outputs actual = run_backward(in, neuron, use);
  const Expected expected = expected_backward(in, neuron, use);
  const auto near = [](const std::vector<double>& values) { return Tolerance{1e-5, 1e-6 * (1.0 + largest(values))}; };
  expect_close(actual.at("d_current"), expected.d_current, rounded<A>(near(expected.d_current)), "d_current");
  if (use.membrane) {
    expect_close(actual.at("d_membrane_in"), expected.d_membrane_in, near(expected.d_membrane_in), "d_membrane_in");
  }
  if (!use.gain) return;
  // Sums over tokens and sequences.
  Tolerance tolerance = near(expected.d_gain);
  tolerance.absolute *= 3.0;
  expect_close(actual.at("d_gain"), expected.d_gain, tolerance, "d_gain");
}

TYPED_TEST(SpikeScanBackwardTest, FollowsTheFormulasAtAllSizes) {
  std::uint64_t seed = 30;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<typename TypeParam::Activation, typename TypeParam::Incoming> in(shape, ++seed);
    const LifCase& neuron = lif_cases()[seed % lif_cases().size()];
    SCOPED_TRACE(neuron.name);
    const Use use = {seed % 2 == 0, seed % 3 == 0};
    same_everywhere([&] { return run_backward(in, neuron.parameters, use); });
    expect_backward(in, neuron.parameters, use);
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(SpikeScanBackwardTest, FollowsTheFormulasForEveryNeuronAndSurrogate) {
  const Inputs<typename TypeParam::Activation, typename TypeParam::Incoming> in({3, 17, 65}, 22);
  for (const LifCase& neuron : lif_cases()) {
    for (const SurrogateKind kind : all_surrogates()) {
      SCOPED_TRACE(neuron.name + ", " + std::string(name_of(kind)));
      LifParameters parameters = neuron.parameters;
      parameters.surrogate.kind = kind;
      for (const FireMode mode : {FireMode::kSpike, FireMode::kSmooth}) {
        expect_backward(in, parameters, {true, true, mode});
        expect_backward(in, parameters, {false, false, mode});
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

TYPED_TEST(SpikeScanBackwardTest, EverySurrogateGivesTheSameBitsEverywhere) {
  const Inputs<typename TypeParam::Activation, typename TypeParam::Incoming> in({1, 5, 133}, 26);
  for (const SurrogateKind kind : all_surrogates()) {
    SCOPED_TRACE(name_of(kind));
    LifParameters parameters;
    parameters.surrogate.kind = kind;
    for (const FireMode mode : {FireMode::kSpike, FireMode::kSmooth}) {
      same_everywhere([&] { return run_backward(in, parameters, {true, true, mode}); });
    }
  }
}

TYPED_TEST(SpikeScanBackwardTest, WritesOverTheIncomingGradient) {
  using A = typename TypeParam::Activation;
  using D = typename TypeParam::Incoming;
  if constexpr (std::is_same_v<A, D>) {
    const Inputs<A, D> in({3, 17, 130}, 23);
    for (const LifCase& neuron : lif_cases()) {
      SCOPED_TRACE(neuron.name);
      const Outputs apart = run_backward(in, neuron.parameters, {});
      const Outputs in_place = run_backward(in, neuron.parameters, {true, true, FireMode::kSpike, true});
      expect_same_bits(apart, in_place, "in place");
    }
  }
}

// Forward and backward of the kernel as one, cut at token 7 with the membrane's gradient carried
// across the cut, against the derivative of the neuron.
TEST(SpikeScanBackwardTest, CarriesTheGradientAcrossACut) {
  const SequenceShape shape{1, 17, 65};
  const Inputs<float, float> in(shape, 24);
  for (const LifCase& neuron : lif_cases()) {
    SCOPED_TRACE(neuron.name);
    const Outputs whole = run_backward(in, neuron.parameters, {});
    const std::int64_t cut = 7 * shape.channels;
    const Guarded<float> d_current(shape.size());
    const Guarded<float> d_gain(shape.channels);
    copy_values(in.d_gain_before, d_gain);
    const Guarded<float> d_membrane(shape.channels);  // in place
    copy_values(in.d_membrane_out, d_membrane);
    const Guarded<float> scratch(shape.channels);
    for (const std::int64_t first : {cut, std::int64_t{0}}) {
      const std::int64_t tokens = first == 0 ? 7 : 10;
      SpikeScanBackward<float, float> scan;
      scan.distance = in.distance.data() + first;
      scan.d_spikes = in.d_spikes.data() + first;
      scan.current = in.current.data() + first;
      scan.gain = in.gain.data();
      scan.d_membrane_out = d_membrane.data();
      scan.d_current = d_current.data() + first;
      scan.d_gain = d_gain.data();
      scan.d_membrane_in = d_membrane.data();
      scan.scratch = scratch.data();
      spike_scan_backward({1, tokens, shape.channels}, neuron.parameters, FireMode::kSpike, scan);
    }
    expect_same_bits({{"d_current", whole.at("d_current")}, {"d_membrane_in", whole.at("d_membrane_in")}},
                     {{"d_current", floats(d_current)}, {"d_membrane_in", floats(d_membrane)}}, "cut in two");
    std::vector<double> d_gain_whole(whole.at("d_gain").begin(), whole.at("d_gain").end());
    expect_close(floats(d_gain), d_gain_whole, {1e-5, 1e-5}, "d_gain");
  }
}

// The kernel's own forward in smooth mode, then its backward, against the derivative of the whole
// in double.
TEST(SpikeScanBackwardTest, IsTheDerivativeOfForward) {
  for (const LifCase& neuron : lif_cases()) {
    for (const SurrogateKind kind : all_surrogates()) {
      SCOPED_TRACE(neuron.name + ", " + std::string(name_of(kind)));
      const SequenceShape shape{2, smooth_tokens(kind), 13};
      LifParameters p = neuron.parameters;
      p.surrogate.kind = kind;
      Inputs<float, float> in(shape, 25);
      const Guarded<float> spikes(shape.size());
      SpikeScanForward<float> scan;
      scan.current = in.current.data();
      scan.gain = in.gain.data();
      scan.spikes = spikes.data();
      scan.distance = in.distance.data();
      spike_scan_forward(shape, p, FireMode::kSmooth, scan);
      const Outputs actual = run_backward(in, p, {true, true, FireMode::kSmooth});
      std::vector<double> expected(static_cast<std::size_t>(shape.size()));
      std::vector<double> d_gain = doubles(in.d_gain_before);
      for (std::int64_t i = 0; i < shape.batch * shape.channels; ++i) {
        const std::int64_t b = i / shape.channels;
        const std::int64_t c = i % shape.channels;
        const std::vector<double> current = series(shape, in.current, b, c);
        std::vector<double> x = current;
        for (double& value : x) value *= as_double(in.gain[c]);
        const auto trace = reference::lif_forward<double>(p, FireMode::kSmooth, x, static_cast<double>(p.v_reset));
        const auto gradient =
            reference::lif_backward(p, trace, series(shape, in.d_spikes, b, c), as_double(in.d_membrane_out[i]));
        for (std::size_t t = 0; t < x.size(); ++t) {
          const auto where = static_cast<std::size_t>(at(shape, b, static_cast<std::int64_t>(t), c));
          expected[where] = gradient.d_x[t] * as_double(in.gain[c]);
          d_gain[static_cast<std::size_t>(c)] += gradient.d_x[t] * current[t];
        }
      }
      // Second derivatives of up to 4 turn the rounding of the potential into that of the gradient.
      expect_close(actual.at("d_current"), expected, {1e-4, 2e-5 * (1.0 + largest(expected))}, "d_current");
      expect_close(actual.at("d_gain"), d_gain, {1e-4, 5e-5 * (1.0 + largest(d_gain))}, "d_gain");
    }
  }
}

// The same for learnable time constants: kernel forward in smooth mode, then backward, against finite differences.
TEST(SpikeScanBackwardTest, LeakGradientIsTheDerivative) {
  const SequenceShape shape{2, 9, 13};
  for (const LifCase& neuron : lif_cases()) {
    for (const bool carried : {false, true}) {
      SCOPED_TRACE(neuron.name + (carried ? ", carried" : ""));
      const LifParameters& p = neuron.parameters;
      Inputs<float, float> in(shape, 27);
      RandomStream random = random_stream(28);
      const Guarded<float> leak = normal_values<float>(random, shape.channels);
      const Guarded<float> membrane_in = normal_values<float>(random, shape.batch * shape.channels, 0.5);
      const Guarded<float> spikes(shape.size());
      SpikeScanForward<float> forward;
      forward.current = in.current.data();
      forward.gain = in.gain.data();
      forward.learned.values = leak.data();
      forward.membrane_in = carried ? membrane_in.data() : nullptr;
      forward.spikes = spikes.data();
      forward.distance = in.distance.data();
      spike_scan_forward(shape, p, FireMode::kSmooth, forward);

      const Outputs actual = same_everywhere([&] {
        const Guarded<float> d_current(shape.size());
        const Guarded<float> d_gain = normal_values<float>(random, shape.channels, 0.0);
        const Guarded<float> d_leak = normal_values<float>(random, shape.channels, 0.0);
        const Guarded<float> d_membrane_in(shape.batch * shape.channels);
        const Guarded<float> scratch(2 * shape.batch * shape.channels);
        SpikeScanBackward<float, float> scan;
        scan.distance = in.distance.data();
        scan.d_spikes = in.d_spikes.data();
        scan.current = in.current.data();
        scan.gain = in.gain.data();
        scan.learned.values = leak.data();
        scan.membrane_in = forward.membrane_in;
        scan.d_membrane_out = in.d_membrane_out.data();
        scan.d_current = d_current.data();
        scan.d_gain = d_gain.data();
        scan.d_learned = d_leak.data();
        scan.d_membrane_in = d_membrane_in.data();
        scan.scratch = scratch.data();
        spike_scan_backward(shape, p, FireMode::kSmooth, scan);
        EXPECT_TRUE(scratch.intact());
        return Outputs{{"d_leak", floats(d_leak)},
                       {"d_gain", floats(d_gain)},
                       {"d_current", floats(d_current)},
                       {"d_membrane_in", floats(d_membrane_in)}};
      });

      for (std::int64_t c = 0; c < shape.channels; ++c) {
        double parameter = as_double(leak[c]);
        double gain = as_double(in.gain[c]);
        std::vector<double> start;
        std::vector<std::vector<double>> current;
        for (std::int64_t b = 0; b < shape.batch; ++b) {
          start.push_back(carried ? as_double(membrane_in[b * shape.channels + c]) : static_cast<double>(p.v_reset));
          current.push_back(series(shape, in.current, b, c));
        }
        const auto run = [&](std::size_t b, const std::vector<double>* reset) {
          std::vector<double> x = current[b];
          for (double& value : x) value *= gain;
          const double rate = reference::sigmoid(parameter);
          return reference::lif_forward<double>(p, FireMode::kSmooth, x, start[b], reset, &rate);
        };
        const std::vector<reference::LifTrace<double>> base = {run(0, nullptr), run(1, nullptr)};
        const auto objective = [&] {
          double sum = 0.0;
          for (std::size_t b = 0; b < 2; ++b) {
            const auto trace = run(b, p.detach_reset ? &base[b].s : nullptr);
            const auto row = static_cast<std::int64_t>(b);
            sum += as_double(in.d_membrane_out[row * shape.channels + c]) * trace.membrane;
            const std::vector<double> d_spikes = series(shape, in.d_spikes, row, c);
            for (std::size_t t = 0; t < d_spikes.size(); ++t) sum += d_spikes[t] * trace.s[t];
          }
          return sum;
        };
        const auto derivative = [&](double& value) {
          return finite_differences(std::span<double>(&value, 1), objective)[0];
        };
        const auto channel = static_cast<std::size_t>(c);
        const auto expect_near = [&](float got, double want, const char* what) {
          EXPECT_NEAR(static_cast<double>(got), want, 2e-4 * (1.0 + std::abs(want))) << what << " " << c;
        };
        expect_near(actual.at("d_leak")[channel], derivative(parameter), "d_leak");
        expect_near(actual.at("d_gain")[channel], derivative(gain), "d_gain");
        expect_near(actual.at("d_membrane_in")[channel], derivative(start[0]), "d_membrane_in");
        expect_near(actual.at("d_current")[static_cast<std::size_t>(at(shape, 0, 4, c))], derivative(current[0][4]),
                    "d_current");
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace spikegpt::test
