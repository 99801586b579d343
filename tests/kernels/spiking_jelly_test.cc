// The neurons held against those of SpikingJelly, from files with its inputs, outputs and gradients.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "spikegpt/kernels/spike_scan.h"
#include "tests/kernels/kernel_case.h"
#include "tests/support/npz.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

using Arrays = std::map<std::string, NpyArray>;
using Case = nlohmann::json;

std::optional<NeuronKind> kind_of(const std::string& name) {
  const std::map<std::string, NeuronKind> kinds = {{"IFNode", NeuronKind::kIntegrateFire},
                                                   {"LIFNode", NeuronKind::kLif},
                                                   {"ParametricLIFNode", NeuronKind::kParametricLif},
                                                   {"QIFNode", NeuronKind::kQif},
                                                   {"EIFNode", NeuronKind::kEif},
                                                   {"IzhikevichNode", NeuronKind::kIzhikevich},
                                                   {"KLIFNode", NeuronKind::kKlif},
                                                   {"SlidingPSN", NeuronKind::kSlidingPsn}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) return std::nullopt;
  return found->second;
}

// The parameters of a case; those it does not list are the defaults of the class.
NeuronParameters parameters_of(const Case& c, NeuronKind kind) {
  NeuronParameters p;
  p.kind = kind;
  const bool grows = kind == NeuronKind::kQif || kind == NeuronKind::kEif;
  p.tau = c.value("tau", c.value("init_tau", 2.0f));
  p.v_threshold = c.value("v_threshold", 1.0f);
  p.decay_input = c.value("decay_input", true);
  p.detach_reset = c.value("detach_reset", false);
  p.v_reset = grows ? -0.1f : 0.0f;
  if (c.contains("v_reset")) {
    p.hard_reset = !c["v_reset"].is_null();
    p.v_reset = p.hard_reset ? c["v_reset"].get<float>() : 0.0f;
  }
  p.own.qif = {c.value("v_rest", 0.0), c.value("v_c", 0.8), c.value("a0", 1.0)};
  p.own.eif = {c.value("v_rest", 0.0), c.value("theta_rh", 0.8), c.value("delta_T", 1.0)};
  p.own.izhikevich = {c.value("v_rest", -0.1), c.value("v_c", 0.8),   c.value("a0", 1.0),
                      c.value("w_rest", 0.0),  c.value("tau_w", 2.0), c.value("a", 0.0),
                      c.value("b", 0.0)};
  p.own.klif.scale_reset = c.value("scale_reset", false);
  p.own.sliding.taps = c.value("k", 4);
  return p;
}

std::vector<float> learned_of(const Arrays& arrays, const std::string& name, const char* prefix) {
  std::vector<float> values;
  for (const char* parameter : {"w", "k", "weight", "bias"}) {
    const auto found = arrays.find(name + "/" + prefix + "." + parameter);
    if (found == arrays.end()) continue;
    for (const float value : found->second.as<float>()) values.push_back(value);
  }
  return values;
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, double relative,
                 double absolute, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto want = static_cast<double>(expected[i]);
    ASSERT_NEAR(static_cast<double>(actual[i]), want, relative * std::abs(want) + absolute)
        << what << " " << i;
  }
}

class SpikingJelly : public testing::Test {
 protected:
  void check(const Case& c, const Arrays& arrays, NeuronKind kind) {
    const std::string name = c["name"];
    const NeuronParameters p = parameters_of(c, kind);
    const NpyArray& x = arrays.at(name + "/x");
    shape_ = {1, x.shape.at(0), x.shape.at(1)};
    const auto size = static_cast<std::size_t>(shape_.size());
    current_ = x.as<float>();
    learned_ = learned_of(arrays, name, "param");
    ASSERT_EQ(learned_.size(), static_cast<std::size_t>(p.learned()));
    spikes_.assign(size, NAN), distance_.assign(size, NAN), kept_.assign(size, NAN);
    forward(p);
    EXPECT_EQ(spikes_, arrays.at(name + "/spikes").as<float>());
    backward(p, arrays, name);
    if (arrays.contains(name + "/v_seq")) membranes(p, arrays.at(name + "/v_seq").as<float>());
  }

 private:
  void forward(const NeuronParameters& p) {
    SpikeScanForward<float> scan;
    scan.current = current_.data();
    scan.learned = {learned_.empty() ? nullptr : learned_.data(), true};
    scan.spikes = spikes_.data();
    scan.distance = distance_.data();
    scan.kept = kept_.data();
    spike_scan_forward(shape_, p, FireMode::kSpike, scan);
  }
  void backward(const NeuronParameters& p, const Arrays& arrays, const std::string& name) {
    const std::vector<float> weights = arrays.at(name + "/spike_weights").as<float>();
    std::vector<float> d_current(current_.size(), NAN);
    std::vector<float> d_learned(learned_.size());
    std::vector<float> scratch((1 + learned_.size()) * static_cast<std::size_t>(shape_.channels));
    SpikeScanBackward<float, float> scan;
    scan.distance = distance_.data();
    scan.kept = kept_.data();
    scan.d_spikes = weights.data();
    scan.learned = {learned_.empty() ? nullptr : learned_.data(), true};
    scan.d_current = d_current.data();
    scan.d_learned = d_learned.data();
    scan.scratch = scratch.data();
    spike_scan_backward(shape_, p, FireMode::kSpike, scan);
    expect_near(d_current, arrays.at(name + "/d_x").as<float>(), 1e-4, 1e-6, "d_x");
    expect_near(d_learned, learned_of(arrays, name, "d_param"), 1e-4, 1e-6, "d_param");
  }
  // Token by token, which is the recurrent form.
  void membranes(const NeuronParameters& p, const std::vector<float>& expected) {
    const auto plane = static_cast<std::size_t>(shape_.channels);
    std::vector<float> state;
    for (int i = 0; i < p.states(); ++i) state.insert(state.end(), plane, p.rest(i));
    std::vector<float> seen;
    std::vector<float> spikes(plane);
    for (std::int64_t t = 0; t < shape_.tokens; ++t) {
      SpikeScanForward<float> scan;
      scan.current = current_.data() + t * shape_.channels;
      scan.learned = {learned_.empty() ? nullptr : learned_.data(), true};
      scan.membrane_in = state.data();
      scan.spikes = spikes.data();
      scan.membrane_out = state.data();
      spike_scan_forward({1, 1, shape_.channels}, p, FireMode::kSpike, scan);
      seen.insert(seen.end(), state.begin(), state.begin() + shape_.channels);
    }
    expect_near(seen, expected, 0.0, 1e-5, "v_seq");
  }

  SequenceShape shape_;
  std::vector<float> current_;
  std::vector<float> learned_;
  std::vector<float> spikes_;
  std::vector<float> distance_;
  std::vector<float> kept_;
};

TEST_F(SpikingJelly, SpikesMembranesAndGradientsAgree) {
  const auto numbers = shared_path("spikingjelly/neurons.npz");
  const auto list = shared_path("spikingjelly/neurons.json");
  if (!numbers || !list) GTEST_SKIP() << "shared data spikingjelly is absent";
  const Arrays arrays = read_npz(*numbers);
  std::ifstream file(*list);
  int checked = 0;
  for (const Case& c : Case::parse(file)) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const std::optional<NeuronKind> kind = kind_of(c["class"]);
    if (!kind) continue;  // cannot stream: neuron_kind says why
    check(c, arrays, *kind);
    ++checked;
  }
  EXPECT_GE(checked, 8);
}

}  // namespace
}  // namespace spikegpt::test
