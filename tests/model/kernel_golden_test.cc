// Single kernels against the numbers of the PyTorch reference. Here and not in tests/kernels,
// because reading the numbers takes the file formats of model/.
#include <gtest/gtest.h>

#include "spikegpt/kernels/cross_entropy.h"
#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/kernels/wkv_scan.h"
#include "tests/kernels/kernel_case.h"
#include "tests/support/golden.h"

namespace spikegpt::test {
namespace {

const Golden& golden() {
  static const Golden numbers("kernels.safetensors");
  return numbers;
}

// Golden tensors under "<prefix>.", in memory that kernels may be given, and room for results.
class Tensors {
 public:
  explicit Tensors(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string full(const std::string& name) const { return prefix_ + "." + name; }
  SequenceShape shape(const std::string& name) const {
    const auto& dims = golden().tensor(full(name)).shape;
    return {dims.at(0), dims.at(1), dims.at(2)};
  }
  const float* in(const std::string& name) { return keep(golden().floats(full(name))); }
  float* out(std::int64_t count) { return keep(std::vector<float>(static_cast<std::size_t>(count))); }
  // The first values at `actual` are those of the golden tensor.
  void expect(const float* actual, const std::string& name, Tolerance tolerance) const {
    const std::vector<double> expected = golden().doubles(full(name));
    expect_close(std::vector<float>(actual, actual + expected.size()), expected, tolerance, full(name));
  }

 private:
  float* keep(const std::vector<float>& values) {
    memory_.emplace_back(values.size());
    std::copy(values.begin(), values.end(), memory_.back().data());
    return memory_.back().data();
  }
  std::string prefix_;
  std::vector<AlignedBuffer<float>> memory_;
};

LifParameters lif_parameters(const nlohmann::json& json) {
  LifParameters p;
  p.tau = json.at("tau").get<float>();
  p.v_threshold = json.at("v_threshold").get<float>();
  p.hard_reset = !json.at("v_reset").is_null();
  p.v_reset = p.hard_reset ? json.at("v_reset").get<float>() : 0.0f;
  p.decay_input = json.at("decay_input").get<bool>();
  p.detach_reset = json.at("detach_reset").get<bool>();
  p.surrogate = {surrogate_kind(json.at("surrogate").get<std::string>()), json.at("alpha").get<float>()};
  return p;
}

TEST(KernelGolden, SpikeScan) {
  const nlohmann::json cases = golden().metadata("lif");
  ASSERT_GE(cases.size(), 8u);
  for (const auto& [name, parameters] : cases.items()) {
    Tensors lif("lif." + name);
    const SequenceShape shape = lif.shape("x");
    const LifParameters neuron = lif_parameters(parameters);
    SpikeScanForward<float> forward;
    forward.current = lif.in("x");
    forward.membrane_in = lif.in("membrane_in");
    forward.spikes = lif.out(shape.size());
    forward.distance = lif.out(shape.size());
    forward.membrane_out = lif.out(shape.batch * shape.channels);
    spike_scan_forward(shape, neuron, FireMode::kSpike, forward);
    lif.expect(forward.spikes, "spikes", {});
    lif.expect(forward.membrane_out, "membrane_out", {});
    const std::vector<float> h = golden().floats(lif.full("h"));
    for (std::size_t i = 0; i < h.size(); ++i) ASSERT_EQ(forward.distance[i], h[i] - neuron.v_threshold) << name << i;

    SpikeScanBackward<float, float> backward;
    backward.distance = forward.distance;
    backward.d_spikes = lif.in("d_spikes");
    backward.d_membrane_out = lif.in("d_membrane_out");
    backward.d_current = lif.out(shape.size());
    float* d_membrane_in = lif.out(shape.batch * shape.channels);
    backward.d_membrane_in = d_membrane_in;
    spike_scan_backward(shape, neuron, FireMode::kSpike, backward);
    lif.expect(backward.d_current, "d_x", {1e-5, 2e-6});
    lif.expect(d_membrane_in, "d_membrane_in", {1e-5, 2e-6});
  }
}

// Forward and backward of one set of tensors. Sets without a receptance hold wkv itself: the gate
// is open then.
void expect_wkv(const std::string& prefix, const std::string& output, bool carried, Tolerance tolerance) {
  SCOPED_TRACE(prefix);
  Tensors wkv(prefix);
  const bool gated = output == "output";
  const SequenceShape shape = wkv.shape("k");
  const std::int64_t states = shape.batch * shape.channels;
  const WkvWeights weights{wkv.in("time_decay"), wkv.in("time_first")};
  float* open = wkv.out(shape.size());
  std::fill(open, open + shape.size(), 100.0f);
  const float* receptance = gated ? wkv.in("receptance") : open;
  const auto state = [&](const char* end, auto&& make) {
    const std::string suffix = end;
    return WkvState{make("numerator" + suffix), make("denominator" + suffix), make("max_exponent" + suffix)};
  };
  const auto golden_state = [&](const std::string& name) { return const_cast<float*>(wkv.in(name)); };
  const auto empty_state = [&](const std::string&) { return wkv.out(states); };

  WkvForward<float> forward;
  forward.receptance = receptance;
  forward.key = wkv.in("k");
  forward.value = wkv.in("v");
  forward.output = wkv.out(shape.size());
  if (carried) forward.in = state("_in", golden_state);
  forward.out = state("_out", empty_state);
  wkv_forward(shape, weights, forward);
  wkv.expect(forward.output, output, tolerance);

  WkvBackward<float> backward;
  backward.receptance = receptance;
  backward.key = forward.key;
  backward.value = forward.value;
  backward.d_output = wkv.in("d_" + output);
  backward.d_receptance = wkv.out(shape.size());
  backward.d_key = wkv.out(shape.size());
  backward.d_value = wkv.out(shape.size());
  backward.d_time_decay = wkv.out(shape.channels);
  backward.d_time_first = wkv.out(shape.channels);
  backward.scratch = wkv.out(wkv_scratch_size(shape));
  if (carried) {
    wkv.expect(forward.out.numerator, "numerator_out", tolerance);
    wkv.expect(forward.out.denominator, "denominator_out", tolerance);
    wkv.expect(forward.out.max_exponent, "max_exponent_out", tolerance);
    backward.in = forward.in;
    backward.d_state_out = {golden_state("d_numerator_out"), golden_state("d_denominator_out"), nullptr};
    backward.d_state_in = {wkv.out(states), wkv.out(states), nullptr};
  }
  wkv_backward(shape, weights, backward);
  wkv.expect(backward.d_key, "d_k", tolerance);
  wkv.expect(backward.d_value, "d_v", tolerance);
  wkv.expect(backward.d_time_decay, "d_time_decay", tolerance);
  wkv.expect(backward.d_time_first, "d_time_first", tolerance);
  if (gated) wkv.expect(backward.d_receptance, "d_receptance", tolerance);
  if (!carried) return;
  wkv.expect(backward.d_state_in.numerator, "d_numerator_in", tolerance);
  wkv.expect(backward.d_state_in.denominator, "d_denominator_in", tolerance);
}

TEST(KernelGolden, Wkv) {
  expect_wkv("wkv", "y", false, {1e-5, 1e-5});
  expect_wkv("wkv_gated", "output", false, {1e-5, 1e-5});
  expect_wkv("wkv_carried", "y", true, {1e-5, 2e-5});
  expect_wkv("wkv_extreme", "y", false, {2e-4, 2e-4});  // exponents of 200 are 1.5e-5 apart in float
}

TEST(KernelGolden, Surrogates) {
  const nlohmann::json kinds = golden().metadata("surrogate");
  ASSERT_EQ(kinds.size(), 8u);
  for (const auto& [name, parameters] : kinds.items()) {
    Tensors tensors("surrogate." + name);
    const std::vector<float> z = golden().floats(tensors.full("z"));
    std::vector<float> primitive;
    std::vector<float> gradient;
    with_surrogate({surrogate_kind(name), parameters.at("alpha").get<float>()}, [&](const auto& formulas) {
      for (const float value : z) {
        primitive.push_back(formulas.primitive(value));
        gradient.push_back(formulas.gradient(value));
      }
    });
    tensors.expect(primitive.data(), "primitive", {1e-6, 5e-7});
    tensors.expect(gradient.data(), "gradient", {1e-6, 1e-6});
  }
}

TEST(KernelGolden, CrossEntropy) {
  const float l2wrap = golden().metadata("ce").at("l2wrap").get<float>();
  for (const char* name : {"ce", "ce_extreme"}) {
    SCOPED_TRACE(name);
    Tensors ce(name);
    const auto& dims = golden().tensor(ce.full("logits")).shape;
    const std::int64_t rows = dims.at(0);
    const std::int64_t vocab = dims.at(1);
    const std::vector<std::int32_t> targets = golden().integers(ce.full("targets"));
    CrossEntropy<float> loss;
    loss.logits = ce.in("logits");
    loss.targets = targets.data();
    loss.losses = ce.out(rows);
    loss.d_logits = ce.out(rows * vocab);
    loss.scale = 1.0f / static_cast<float>(rows);
    loss.l2wrap = l2wrap;
    cross_entropy(rows, vocab, loss);
    ce.expect(loss.losses, "losses", {1e-6, 1e-6});
    ce.expect(loss.d_logits, "d_logits", {2e-6, 1e-7});
    float sum = 0.0f;
    for (std::int64_t i = 0; i < rows; ++i) sum += loss.losses[i] * loss.scale;
    ce.expect(&sum, "loss", {2e-6, 0.0});
  }
}

TEST(KernelGolden, LayerNorm) {
  Tensors ln("ln");
  const auto& dims = golden().tensor(ln.full("x")).shape;
  const std::int64_t rows = dims.at(0);
  const std::int64_t channels = dims.at(1);
  const float* x = ln.in("x");
  const float* weight = ln.in("weight");
  float* y = ln.out(rows * channels);
  float* mean = ln.out(rows);
  float* inverse_std = ln.out(rows);
  layer_norm_forward<float>(rows, channels, {x, weight, ln.in("bias"), y, mean, inverse_std});
  ln.expect(y, "y", {1e-5, 5e-6});
  LayerNormBackward<float> backward;
  backward.x = x;
  backward.weight = weight;
  backward.mean = mean;
  backward.inverse_std = inverse_std;
  backward.d_y = ln.in("d_y");
  backward.d_x = ln.out(rows * channels);
  backward.d_weight = ln.out(channels);
  backward.d_bias = ln.out(channels);
  backward.scratch = ln.out(layer_norm_scratch_size(rows, channels));
  layer_norm_backward(rows, channels, backward);
  // The tiny row has 1 / std of several hundred.
  ln.expect(backward.d_x, "d_x", {1e-5, 1e-5});
  ln.expect(backward.d_weight, "d_weight", {1e-5, 1e-5});
  ln.expect(backward.d_bias, "d_bias", {1e-5, 1e-6});
}

}  // namespace
}  // namespace spikegpt::test
