// The scans of every kind of neuron, in every way to fire: against formulas in double, against finite
// differences, in pieces, on every instruction set.
#include <gtest/gtest.h>

#include <numeric>

#include "spikegpt/kernels/spike_scan.h"
#include "tests/kernels/kernel_case.h"
#include "tests/kernels/neuron_cases.h"
#include "tests/support/finite_difference.h"
#include "tests/support/neuron_reference.h"

namespace spikegpt::test {
namespace {

// All that a scan reads.
template <class A>
struct Inputs {
  Inputs(const SequenceShape& s, const NeuronParameters& p, std::uint64_t seed)
      : shape(s),
        current(s.size()),
        gain(s.channels),
        learned(std::max(1, p.learned()) * s.channels),
        state(std::max(1, p.states()) * s.batch * s.channels),
        d_spikes(s.size()),
        d_state(state.size()) {
    RandomStream random = random_stream(seed);
    fill_normal(random, 1.1, current, 0.5);
    fill_normal(random, 0.2, gain, 1.0);
    fill_normal(random, 0.3, learned, p.kind == NeuronKind::kKlif ? 1.2 : 0.2);
    fill_normal(random, 0.4, state);
    fill_normal(random, 1.0, d_spikes);
    fill_normal(random, 1.0, d_state);
    // What a KLIF leaves behind is not negative, nor is what an adaptive threshold has seen.
    if (p.kind == NeuronKind::kKlif || p.kind == NeuronKind::kAdaptiveLif) {
      for (std::int64_t i = 0; i < state.size(); ++i) state[i] = std::abs(state[i]);
    }
  }
  SequenceShape shape;
  Guarded<A> current;
  Guarded<float> gain;
  Guarded<float> learned;  // [learned, C]
  Guarded<float> state;    // [states, B, C]
  Guarded<A> d_spikes;
  Guarded<float> d_state;

  const float* learned_of(const NeuronParameters& p) const {
    return p.learned() > 0 ? learned.data() : nullptr;
  }
  reference::NeuronInput input_of(const NeuronParameters& p, std::int64_t b, std::int64_t c,
                                  bool per_layer) const {
    reference::NeuronInput in;
    for (const double x : series(shape, current, b, c)) in.x.push_back(x * as_double(gain[c]));
    for (int i = 0; i < p.states(); ++i)
      in.state.push_back(as_double(state[(i * shape.batch + b) * shape.channels + c]));
    for (int i = 0; i < p.learned(); ++i) {
      in.learned.push_back(as_double(learned[per_layer ? i : i * shape.channels + c]));
    }
    return in;
  }
};

// Forward: spikes, distances and what else is kept, in the memory of the test.
template <class A>
struct Forward {
  explicit Forward(const SequenceShape& shape, const NeuronParameters& p)
      : spikes(shape.size()),
        distance(shape.size()),
        kept(shape.size()),
        state(std::max(1, p.states()) * shape.batch * shape.channels) {}
  Guarded<A> spikes;
  Guarded<A> distance;
  Guarded<A> kept;
  Guarded<float> state;
  std::int64_t count = 0;

  void run(const Inputs<A>& in, const NeuronParameters& p, FireMode mode, bool per_layer = false) {
    SpikeScanForward<A> scan;
    scan.current = in.current.data();
    scan.gain = in.gain.data();
    scan.learned = {in.learned_of(p), per_layer};
    scan.membrane_in = in.state.data();
    scan.spikes = spikes.data();
    scan.distance = distance.data();
    scan.kept = p.keeps_more() ? kept.data() : nullptr;
    scan.membrane_out = state.data();
    count = spike_scan_forward(in.shape, p, mode, scan);
  }
  Outputs outputs(const NeuronParameters& p) const {
    Outputs out = {
        {"spikes", floats(spikes)}, {"distance", floats(distance)}, {"count", {static_cast<float>(count)}}};
    if (p.states() > 0) out["state"] = floats(state);
    if (p.keeps_more()) out["kept"] = floats(kept);
    return out;
  }
};

// Gradients of sum(spikes * d_spikes) + sum(last state * d_state).
template <class A, class D>
Outputs run_backward(const Inputs<A>& in, const Guarded<D>& d_spikes, const Forward<A>& forward,
                     const NeuronParameters& p, FireMode mode, bool per_layer) {
  const SequenceShape& shape = in.shape;
  const Guarded<A> d_current(shape.size());
  const Guarded<float> d_gain(shape.channels);
  const Guarded<float> d_learned(per_layer ? p.learned() : p.learned() * shape.channels);
  const Guarded<float> d_state(in.state.size());
  const Guarded<float> scratch((1 + p.learned()) * shape.batch * shape.channels);
  for (std::int64_t i = 0; i < d_gain.size(); ++i) d_gain[i] = 0.0f;
  for (std::int64_t i = 0; i < d_learned.size(); ++i) d_learned[i] = 0.0f;
  SpikeScanBackward<A, D> scan;
  scan.distance = forward.distance.data();
  scan.kept = p.keeps_more() ? forward.kept.data() : nullptr;
  scan.d_spikes = d_spikes.data();
  scan.current = in.current.data();
  scan.gain = in.gain.data();
  scan.learned = {in.learned_of(p), per_layer};
  scan.membrane_in = in.state.data();
  scan.d_membrane_out = in.d_state.data();
  scan.d_current = d_current.data();
  scan.d_gain = d_gain.data();
  scan.d_learned = d_learned.data();
  scan.d_membrane_in = d_state.data();
  scan.scratch = scratch.data();
  spike_scan_backward(shape, p, mode, scan);
  EXPECT_TRUE(scratch.intact());
  Outputs out = {{"d_current", floats(d_current)}, {"d_gain", floats(d_gain)}};
  if (p.learned() > 0) out["d_learned"] = floats(d_learned);
  if (p.states() > 0) out["d_state"] = floats(d_state);
  return out;
}

template <class A>
class NeuronScan : public testing::Test {};
using ActivationTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(NeuronScan, ActivationTypes);

// The potentials are those of the formulas, given the spikes; and those follow from the potential that is
// kept.
TYPED_TEST(NeuronScan, ForwardIsTheNeuron) {
  using A = TypeParam;
  std::uint64_t seed = 100;
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const SequenceShape shape = ++seed % 2 == 0 ? SequenceShape{2, 17, 65} : SequenceShape{1, 33, 130};
    const Inputs<A> in(shape, p, seed);
    Forward<A> forward(shape, p);
    const Outputs out = same_everywhere([&] {
      forward.run(in, p, FireMode::kSpike);
      return forward.outputs(p);
    });
    double fired = 0.0;
    double silent = 0.0;
    const double unit = std::is_same_v<A, float> ? 2e-5 : 0x1p-7;
    for (std::int64_t i = 0; i < shape.batch * shape.channels; ++i) {
      const std::int64_t b = i / shape.channels;
      const std::int64_t c = i % shape.channels;
      const std::vector<double> spikes = series(shape, forward.spikes, b, c);
      const std::vector<double> z = series(shape, forward.distance, b, c);
      const bool exact = std::is_same_v<A, float>;
      const auto trace = reference::run(p, FireMode::kSpike, in.input_of(p, b, c, false),
                                        {.sent = &spikes, .z = exact ? &z : nullptr});
      for (std::size_t t = 0; t < z.size(); ++t) {
        // In bf16 a threshold that moves is made of a rounded number.
        ASSERT_NEAR(z[t], trace.z[t], unit * (trace.threshold[t] + 1.0 + std::abs(trace.z[t])))
            << "token " << t << ", channel " << c;
        if (exact && p.kind != NeuronKind::kAdaptiveLif) {
          ASSERT_EQ(spikes[t],
                    reference::sent(p, FireMode::kSpike, z[t], static_cast<double>(p.v_threshold)));
        }
        fired += std::abs(spikes[t]);
        silent += spikes[t] == 0.0 ? 1.0 : 0.0;
      }
      for (int k = 0; k < p.states(); ++k) {
        const double expected = trace.state[static_cast<std::size_t>(k)];
        ASSERT_NEAR(as_double(forward.state[(k * shape.batch + b) * shape.channels + c]), expected,
                    10.0 * unit * (1.0 + std::abs(expected)));
      }
    }
    EXPECT_EQ(static_cast<double>(out.at("count")[0]), fired);
    EXPECT_GT(fired, 0.04 * static_cast<double>(shape.size()));
    EXPECT_GT(silent, 0.1 * static_cast<double>(shape.size()));
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(NeuronScan, CutInPiecesIsTheWhole) {
  using A = TypeParam;
  const SequenceShape shape{2, 19, 65};
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const Inputs<A> in(shape, p, 7);
    Forward<A> whole(shape, p);
    whole.run(in, p, FireMode::kSpike);
    const Guarded<float> state(in.state.size());  // carried in place
    copy_values(in.state, state);
    std::vector<float> spikes(static_cast<std::size_t>(shape.size()));
    std::int64_t token = 0;
    for (const std::int64_t tokens : {1, 1, 9, 1, 2, 5}) {
      const SequenceShape piece{shape.batch, tokens, shape.channels};
      const Guarded<A> current(piece.size());
      const Guarded<A> sent(piece.size());
      const auto each = [&](auto&& body) {
        for (std::int64_t i = 0; i < piece.size(); ++i) {
          const std::int64_t b = i / (tokens * shape.channels);
          body(i, i + b * (shape.tokens - tokens) * shape.channels + token * shape.channels);
        }
      };
      each([&](std::int64_t i, std::int64_t from) { current[i] = in.current[from]; });
      SpikeScanForward<A> scan;
      scan.current = current.data();
      scan.gain = in.gain.data();
      scan.learned = {in.learned_of(p), false};
      scan.membrane_in = state.data();
      scan.spikes = sent.data();
      scan.membrane_out = state.data();
      spike_scan_forward(piece, p, FireMode::kSpike, scan);
      each(
          [&](std::int64_t i, std::int64_t to) { spikes[static_cast<std::size_t>(to)] = to_float(sent[i]); });
      token += tokens;
    }
    ASSERT_EQ(token, shape.tokens);
    Outputs pieces = {{"spikes", spikes}};
    Outputs expected = {{"spikes", floats(whole.spikes)}};
    if (p.states() > 0) pieces["state"] = floats(state), expected["state"] = floats(whole.state);
    expect_same_bits(expected, pieces, "in pieces");
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(NeuronScan, SpikesAreMadeAgain) {
  using A = TypeParam;
  const SequenceShape shape{1, 520, 65};  // more than one piece of work
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const Inputs<A> in(shape, p, 9);
    Forward<A> forward(shape, p);
    forward.run(in, p, FireMode::kSpike);
    const Guarded<A> spikes(shape.size());
    spikes_from_distance(shape.size(), p, FireMode::kSpike, forward.distance.data(), spikes.data(),
                         forward.kept.data());
    expect_same_bits({{"spikes", floats(forward.spikes)}}, {{"spikes", floats(spikes)}}, "made again");
    if (testing::Test::HasFailure()) return;
  }
}

// The objective that run_backward has the gradient of, for one neuron and all it reads.
struct Objective {
  const NeuronParameters& p;
  std::vector<double> d_spikes;
  std::vector<double> d_state;
  std::vector<double> held;  // spikes that a detached reset is constant in; of none, empty

  double operator()(const reference::NeuronInput& in) const {
    const auto trace = reference::run(p, FireMode::kSmooth, in, {.detached = held.empty() ? nullptr : &held});
    double sum = 0.0;
    for (std::size_t t = 0; t < d_spikes.size(); ++t) sum += d_spikes[t] * trace.spike[t];
    for (std::size_t i = 0; i < d_state.size(); ++i) sum += d_state[i] * trace.state[i];
    return sum;
  }
};

Objective objective_of(const NeuronParameters& p, const Inputs<float>& in, std::int64_t b, std::int64_t c) {
  Objective objective{p, series(in.shape, in.d_spikes, b, c), {}, {}};
  for (int i = 0; i < p.states(); ++i)
    objective.d_state.push_back(as_double(in.d_state[(i * in.shape.batch + b) * in.shape.channels + c]));
  if (p.detach_reset)
    objective.held = reference::run(p, FireMode::kSmooth, in.input_of(p, b, c, false)).spike;
  return objective;
}

// Smooth spikes make the neuron differentiable: every gradient is a finite difference, reset and thresholds
// included.
TEST(NeuronScanBackward, IsTheDerivative) {
  const SequenceShape shape{2, 9, 7};
  std::uint64_t seed = 300;
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const Inputs<float> in(shape, p, ++seed);
    Forward<float> forward(shape, p);
    forward.run(in, p, FireMode::kSmooth);
    const Outputs actual =
        same_everywhere([&] { return run_backward(in, in.d_spikes, forward, p, FireMode::kSmooth, false); });
    const auto near = [](float got, double want, const char* what, std::int64_t where) {
      EXPECT_NEAR(static_cast<double>(got), want, 3e-4 * (1.0 + std::abs(want))) << what << " " << where;
    };
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      std::vector<double> d_learned(static_cast<std::size_t>(p.learned()), 0.0);
      double d_gain = 0.0;
      for (std::int64_t b = 0; b < shape.batch; ++b) {
        reference::NeuronInput input = in.input_of(p, b, c, false);
        const Objective objective = objective_of(p, in, b, c);
        const auto value = [&] { return objective(input); };
        const std::vector<double> d_x = finite_differences(input.x, value);
        for (std::int64_t t = 0; t < shape.tokens; ++t) {
          const std::int64_t i = at(shape, b, t, c);
          const double slope = d_x[static_cast<std::size_t>(t)];
          near(actual.at("d_current")[static_cast<std::size_t>(i)], slope * as_double(in.gain[c]),
               "d_current", i);
          d_gain += slope * as_double(in.current[i]);
        }
        const std::vector<double> d_state = finite_differences(input.state, value);
        for (std::size_t k = 0; k < d_state.size(); ++k) {
          const std::int64_t i = (static_cast<std::int64_t>(k) * shape.batch + b) * shape.channels + c;
          near(actual.at("d_state")[static_cast<std::size_t>(i)], d_state[k], "d_state", i);
        }
        const std::vector<double> d = finite_differences(input.learned, value);
        for (std::size_t k = 0; k < d.size(); ++k) d_learned[k] += d[k];
      }
      near(actual.at("d_gain")[static_cast<std::size_t>(c)], d_gain, "d_gain", c);
      for (std::size_t k = 0; k < d_learned.size(); ++k) {
        const auto i = k * static_cast<std::size_t>(shape.channels) + static_cast<std::size_t>(c);
        near(actual.at("d_learned")[i], d_learned[k], "d_learned", static_cast<std::int64_t>(i));
      }
    }
    if (testing::Test::HasFailure()) return;
  }
}

// One value for all neurons of a layer gets the sum of what each would.
TEST(NeuronScanBackward, LearnedForALayerIsTheSum) {
  const SequenceShape shape{2, 9, 70};
  for (const NeuronCase& neuron : kind_cases()) {
    const NeuronParameters& p = neuron.parameters;
    if (p.learned() == 0) continue;
    SCOPED_TRACE(neuron.name);
    const Inputs<float> in(shape, p, 17);
    const Inputs<float> each(shape, p, 17);
    for (int i = 0; i < p.learned(); ++i) {
      for (std::int64_t c = 0; c < shape.channels; ++c) each.learned[i * shape.channels + c] = in.learned[i];
    }
    Forward<float> forward(shape, p);
    forward.run(in, p, FireMode::kSpike, true);
    Forward<float> other(shape, p);
    other.run(each, p, FireMode::kSpike);
    expect_same_bits(other.outputs(p), forward.outputs(p), "for a layer");
    const Outputs shared =
        same_everywhere([&] { return run_backward(in, in.d_spikes, forward, p, FireMode::kSpike, true); });
    const Outputs single = run_backward(each, each.d_spikes, other, p, FireMode::kSpike, false);
    EXPECT_EQ(shared.at("d_current"), single.at("d_current"));
    for (std::size_t i = 0; i < static_cast<std::size_t>(p.learned()); ++i) {
      const auto first = single.at("d_learned").begin() + static_cast<std::ptrdiff_t>(i) * shape.channels;
      const double sum = std::accumulate(first, first + shape.channels, 0.0);
      EXPECT_NEAR(static_cast<double>(shared.at("d_learned")[i]), sum, 1e-4 * (1.0 + std::abs(sum)));
    }
  }
}

// In bf16 the distances are rounded; their gradients are those of float from the same distances, rounded.
TEST(NeuronScanBackward, Bf16IsFloatRounded) {
  const SequenceShape shape{2, 17, 65};
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const Inputs<Bf16> in(shape, p, 21);
    Forward<Bf16> forward(shape, p);
    forward.run(in, p, FireMode::kSpike);
    Inputs<float> wide(shape, p, 21);
    Forward<float> same(shape, p);
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      wide.current[i] = to_float(in.current[i]);
      wide.d_spikes[i] = to_float(in.d_spikes[i]);
      same.distance[i] = to_float(forward.distance[i]);
      same.kept[i] = p.keeps_more() ? to_float(forward.kept[i]) : 0.0f;
    }
    copy_values(in.gain, wide.gain);
    copy_values(in.learned, wide.learned);
    copy_values(in.state, wide.state);
    copy_values(in.d_state, wide.d_state);
    const Outputs expected = run_backward(wide, wide.d_spikes, same, p, FireMode::kSpike, false);
    const Outputs narrow =
        same_everywhere([&] { return run_backward(in, in.d_spikes, forward, p, FireMode::kSpike, false); });
    const Outputs mixed = run_backward(in, wide.d_spikes, forward, p, FireMode::kSpike, false);
    expect_same_bits(narrow, mixed, "with a float gradient coming in");
    for (const auto& [name, values] : expected) {
      const std::vector<double> exact(values.begin(), values.end());
      expect_close(narrow.at(name), exact, {name == "d_current" ? 0x1p-8 : 1e-6, 1e-30}, name);
    }
    if (testing::Test::HasFailure()) return;
  }
}

// Neurons that grow by themselves do not grow without bound, nor do their gradients.
TEST(NeuronScanBackward, NothingOverflows) {
  const SequenceShape shape{1, 40, 33};
  for (const NeuronCase& neuron : neuron_cases()) {
    SCOPED_TRACE(neuron.name);
    const NeuronParameters& p = neuron.parameters;
    const Inputs<float> in(shape, p, 23);
    for (std::int64_t i = 0; i < shape.size(); ++i) in.current[i] *= i % 7 == 0 ? 3e4f : 30.0f;
    Forward<float> forward(shape, p);
    forward.run(in, p, FireMode::kSpike);
    for (const auto& [name, values] : forward.outputs(p)) {
      for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name;
    }
    for (const auto& [name, values] : run_backward(in, in.d_spikes, forward, p, FireMode::kSpike, false)) {
      for (const float value : values) ASSERT_FALSE(std::isnan(value)) << name;
    }
  }
}

}  // namespace
}  // namespace spikegpt::test
