// The scan of spiking neurons, forward: against the scalar neuron bit by bit, in pieces, and in
// smooth mode.
#include "spikegpt/kernels/spike_scan.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/kernels/kernel_case.h"
#include "tests/kernels/lif_cases.h"
#include "tests/support/scalar_reference.h"

namespace spikegpt::test {
namespace {

template <class A>
class SpikeScan : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(SpikeScan, ActivationTypes);

template <class A>
struct Inputs {
  Inputs(const SequenceShape& s, std::uint64_t seed)
      : shape(s), current(s.size()), gain(s.channels), leak(s.channels), membrane_in(s.batch * s.channels) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 1.6, current, 0.7);
    fill_normal(random, 0.4, gain, 1.0);
    fill_normal(random, 0.5, membrane_in);
    fill_normal(random, 1.0, leak);
  }
  SequenceShape shape;
  Guarded<A> current;
  Guarded<float> gain;
  Guarded<float> leak;
  Guarded<float> membrane_in;
};

struct Use {
  bool gain = false;
  bool membrane_in = false;
  FireMode mode = FireMode::kSpike;
  bool leak = false;
};

template <class A>
Outputs run_forward(const Inputs<A>& in, const LifParameters& neuron, const Use& use) {
  const Guarded<A> spikes(in.shape.size());
  const Guarded<A> distance(in.shape.size());
  const Guarded<float> membrane(in.shape.batch * in.shape.channels);
  SpikeScanForward<A> scan;
  scan.current = in.current.data();
  scan.gain = use.gain ? in.gain.data() : nullptr;
  scan.learned.values = use.leak ? in.leak.data() : nullptr;
  scan.membrane_in = use.membrane_in ? in.membrane_in.data() : nullptr;
  scan.spikes = spikes.data();
  scan.distance = distance.data();
  scan.membrane_out = membrane.data();
  const std::int64_t count = spike_scan_forward(in.shape, neuron, use.mode, scan);
  return {{"spikes", floats(spikes)},
          {"distance", floats(distance)},
          {"membrane_out", floats(membrane)},
          {"count", {static_cast<float>(count)}}};
}

// What the kernel must give, in float and in the order of SPEC.md 1.
template <class A>
Outputs expected_forward(const Inputs<A>& in, const LifParameters& neuron, const Use& use) {
  const SequenceShape& shape = in.shape;
  Outputs out;
  std::vector<float>& spikes = out["spikes"];
  std::vector<float>& distance = out["distance"];
  std::vector<float>& membrane = out["membrane_out"];
  spikes.resize(static_cast<std::size_t>(shape.size()));
  distance.resize(spikes.size());
  float count = 0.0f;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      std::vector<float> x;
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        const float current = to_float(in.current[at(shape, b, t, c)]);
        x.push_back(use.gain ? in.gain[c] * current : current);
      }
      const float start = use.membrane_in ? in.membrane_in[b * shape.channels + c] : neuron.v_reset;
      const float leak = sigmoid(in.leak[c]);
      const auto trace =
          reference::lif_forward<float, A>(neuron, use.mode, x, start, nullptr, use.leak ? &leak : nullptr);
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        const auto i = static_cast<std::size_t>(at(shape, b, t, c));
        const auto time = static_cast<std::size_t>(t);
        spikes[i] = to_float(from_float<A>(trace.s[time]));
        distance[i] = to_float(from_float<A>(trace.h[time] - neuron.v_threshold));
        count += std::abs(trace.s[time]);
      }
      membrane.push_back(trace.membrane);
    }
  }
  out["count"] = {count};
  return out;
}

TYPED_TEST(SpikeScan, ForwardIsTheNeuronBitByBitAtAllSizes) {
  std::uint64_t seed = 1;
  double fired = 0.0;
  for (const SequenceShape& shape : all_shapes()) {
    SCOPED_TRACE(text_of(shape));
    const Inputs<TypeParam> in(shape, ++seed);
    const Use use = {seed % 2 == 0, seed % 3 == 0, FireMode::kSpike, seed % 5 < 2};
    const LifCase& neuron = lif_cases()[seed % lif_cases().size()];
    SCOPED_TRACE(neuron.name);
    const Outputs actual = same_everywhere([&] { return run_forward(in, neuron.parameters, use); });
    expect_same_bits(expected_forward(in, neuron.parameters, use), actual, "from the kernel");
    fired += static_cast<double>(actual.at("count")[0]);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(fired, 5000.0);  // otherwise the inputs test little
}

TYPED_TEST(SpikeScan, ForwardIsTheNeuronBitByBitForEveryNeuron) {
  for (const LifCase& neuron : lif_cases()) {
    SCOPED_TRACE(neuron.name);
    const Inputs<TypeParam> in({3, 33, 130}, 5);
    for (const Use& use : {Use{false, false}, Use{true, false}, Use{false, true}, Use{true, true},
                           Use{true, true, FireMode::kSpike, true}}) {
      const Outputs actual = same_everywhere([&] { return run_forward(in, neuron.parameters, use); });
      expect_same_bits(expected_forward(in, neuron.parameters, use), actual, "from the kernel");
      const float total = std::accumulate(actual.at("spikes").begin(), actual.at("spikes").end(), 0.0f,
                                          [](float sum, float spike) { return sum + std::abs(spike); });
      EXPECT_EQ(actual.at("count")[0], total);
      EXPECT_GT(total, 500.0f);
      const auto silent = std::count(actual.at("spikes").begin(), actual.at("spikes").end(), 0.0f);
      EXPECT_GT(static_cast<float>(silent), 0.2f * static_cast<float>(in.shape.size()));
    }
  }
}

TYPED_TEST(SpikeScan, OptionalOutputsAndAtThreshold) {
  // Membranes that reach the threshold exactly fire: 0 + (2 - 0) / 2 = 1.
  const SequenceShape shape{1, 2, 3};
  const Guarded<TypeParam> current(shape.size());
  const Guarded<TypeParam> spikes(shape.size());
  for (std::int64_t i = 0; i < 6; ++i) current[i] = from_float<TypeParam>(i == 1 ? 1.9921875f : 2.0f);
  SpikeScanForward<TypeParam> scan;
  scan.current = current.data();
  scan.spikes = spikes.data();
  EXPECT_EQ(spike_scan_forward(shape, {}, FireMode::kSpike, scan), 5);
  EXPECT_EQ(floats(spikes), (std::vector<float>{1, 0, 1, 1, 1, 1}));
}

// Why there is no learnable threshold: with v_reset = 0 a threshold k times as high is a current k times as weak, which
// the gain (or the norm in front) learns. Powers of two, so that the rounding is the same.
TYPED_TEST(SpikeScan, ThresholdIsAnInverseGain) {
  const Inputs<TypeParam> in({2, 33, 65}, 6);
  for (const LifCase& neuron : lif_cases()) {
    if (neuron.parameters.v_reset != 0.0f) continue;
    SCOPED_TRACE(neuron.name);
    const Outputs one = run_forward(in, neuron.parameters, {true, false});
    LifParameters higher = neuron.parameters;
    higher.v_threshold *= 4.0f;
    const Inputs<TypeParam> stronger({2, 33, 65}, 6);
    for (std::int64_t c = 0; c < 65; ++c) stronger.gain[c] *= 4.0f;
    const Outputs other = run_forward(stronger, higher, {true, false});
    EXPECT_EQ(one.at("spikes"), other.at("spikes"));
  }
}

// And decay_input is a factor tau of the current.
TYPED_TEST(SpikeScan, DecayOfTheInputIsAGain) {
  const Inputs<TypeParam> in({2, 33, 65}, 7);
  LifParameters decayed;
  decayed.hard_reset = false;
  LifParameters raw = decayed;
  raw.decay_input = false;
  const Inputs<TypeParam> weaker({2, 33, 65}, 7);
  for (std::int64_t c = 0; c < 65; ++c) weaker.gain[c] *= 0.5f;
  const Outputs one = run_forward(in, decayed, {true, false});
  const Outputs other = run_forward(weaker, raw, {true, false});
  std::size_t different = 0;
  for (std::size_t i = 0; i < one.at("spikes").size(); ++i) different += one.at("spikes")[i] != other.at("spikes")[i];
  EXPECT_LE(different, one.at("spikes").size() / 500);  // the order of additions differs: one in many lies on the edge
}

TYPED_TEST(SpikeScan, CutInPiecesIsTheWhole) {
  using A = TypeParam;
  const SequenceShape shape{1, 33, 65};
  for (const LifCase& neuron : lif_cases()) {
    SCOPED_TRACE(neuron.name);
    const Inputs<A> in(shape, 8);
    for (const FireMode mode : {FireMode::kSpike, FireMode::kSmooth}) {
      const Outputs whole = run_forward(in, neuron.parameters, {true, true, mode});
      const Guarded<A> spikes(shape.size());
      const Guarded<A> distance(shape.size());
      const Guarded<float> membrane(shape.channels);  // carried in place
      copy_values(in.membrane_in, membrane);
      std::int64_t count = 0;
      std::int64_t token = 0;
      for (const std::int64_t tokens : {1, 16, 2, 14}) {
        const std::int64_t offset = token * shape.channels;
        SpikeScanForward<A> scan;
        scan.current = in.current.data() + offset;
        scan.gain = in.gain.data();
        scan.membrane_in = membrane.data();
        scan.spikes = spikes.data() + offset;
        scan.distance = distance.data() + offset;
        scan.membrane_out = membrane.data();
        count += spike_scan_forward({1, tokens, shape.channels}, neuron.parameters, mode, scan);
        token += tokens;
      }
      const Outputs pieces = {{"spikes", floats(spikes)},
                              {"distance", floats(distance)},
                              {"membrane_out", floats(membrane)},
                              {"count", {static_cast<float>(count)}}};
      expect_same_bits(whole, pieces, "in pieces");
    }
  }
}

TYPED_TEST(SpikeScan, SmoothModeFollowsThePrimitive) {
  for (const SurrogateKind kind : all_surrogates()) {
    SCOPED_TRACE(name_of(kind));
    const SequenceShape shape{3, smooth_tokens(kind), 65};
    const Inputs<TypeParam> in(shape, 9);
    for (const LifCase& neuron : lif_cases()) {
      SCOPED_TRACE(neuron.name);
      LifParameters parameters = neuron.parameters;
      parameters.surrogate.kind = kind;
      const Outputs actual = run_forward(in, parameters, {true, false, FireMode::kSmooth});
      EXPECT_EQ(actual.at("count")[0], 0.0f);
      std::vector<double> spikes(static_cast<std::size_t>(shape.size()));
      std::vector<double> distance(spikes.size());
      for (std::int64_t i = 0; i < shape.batch * shape.channels; ++i) {
        const std::int64_t b = i / shape.channels;
        const std::int64_t c = i % shape.channels;
        std::vector<double> x = series(shape, in.current, b, c);
        for (double& value : x) value *= as_double(in.gain[c]);
        const auto trace =
            reference::lif_forward<double>(parameters, FireMode::kSmooth, x, static_cast<double>(parameters.v_reset));
        for (std::size_t t = 0; t < x.size(); ++t) {
          const auto where = static_cast<std::size_t>(at(shape, b, static_cast<std::int64_t>(t), c));
          spikes[where] = trace.s[t];
          distance[where] = trace.h[t] - static_cast<double>(parameters.v_threshold);
        }
      }
      const Tolerance tolerance = rounded<TypeParam>({1e-5, 2e-5});
      expect_close(actual.at("spikes"), spikes, tolerance, "spikes");
      expect_close(actual.at("distance"), distance, tolerance, "distance");
    }
  }
}

TYPED_TEST(SpikeScan, SpikesAreMadeAgainFromTheDistance) {
  using A = TypeParam;
  const std::int64_t n = 2 * 32768 + 17;  // more than one piece of work
  RandomStream random = random_stream(10);
  const Guarded<A> distance = normal_values<A>(random, n);
  distance[5] = from_float<A>(0.0f);
  for (const LifCase& neuron : lif_cases()) {
    for (const SurrogateKind kind : {SurrogateKind::kAtan, SurrogateKind::kGaussian}) {
      SCOPED_TRACE(neuron.name + ", " + std::string(name_of(kind)));
      LifParameters p = neuron.parameters;
      p.surrogate.kind = kind;
      for (const FireMode mode : {FireMode::kSpike, FireMode::kSmooth}) {
        const Outputs actual = same_everywhere([&] {
          const Guarded<A> spikes(n);
          spikes_from_distance(n, p, mode, distance.data(), spikes.data());
          return Outputs{{"spikes", floats(spikes)}};
        });
        std::vector<double> expected;
        for (std::int64_t i = 0; i < n; ++i) {
          const bool exact = mode == FireMode::kSpike;
          const float z = to_float(distance[i]);
          expected.push_back(exact ? static_cast<double>(reference::sum_of_steps(
                                         p, z, -1.0f, [](float x) { return x >= 0.0f ? 1.0f : 0.0f; }))
                                   : reference::sum_of_steps(p, static_cast<double>(z), -1.0, [&](double x) {
                                       return reference::surrogate(p.surrogate, x).primitive;
                                     }));
        }
        const bool exact = mode == FireMode::kSpike;
        expect_close(actual.at("spikes"), expected, exact ? Tolerance{} : rounded<A>({1e-6, 2e-6}), "spikes");
      }
    }
  }
}

}  // namespace
}  // namespace spikegpt::test
