// Channel mix: the spiking receptance feed-forward layer (SPEC.md 5, 7).
#include <algorithm>

#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/layer_operations.h"
#include "spikegpt/model/projections.h"

namespace spikegpt {
namespace {

// The order in which form() lists things.
enum Parameter : std::size_t { kMixKey, kMixReceptance, kKey, kReceptance, kValue, kGain };
// The key's is k (or relu(k)^2) in front of neurons; relu(k)^2 without them.
enum ProjectionIndex : std::size_t { kR, kK };

PartForm form_of(const MixerContext& context) {
  const std::int64_t C = context.config.n_embd;
  const std::int64_t H = context.config.hidden_size();
  const bool fires = context.hidden != nullptr;
  const bool squares = !fires || context.config.squared_current;
  const bool joined = context.shifts_after();
  using Kind = FirstValues::Kind;
  using Reads = ProductForm::Reads;

  PartForm form;
  form.parameters = {
      {"time_mix_k", {1, 1, joined ? H : C}, {.kind = Kind::kTimeMix}},
      {"time_mix_r", {1, 1, C}, {.kind = Kind::kTimeMix}, joined},
      {"key.weight", {H, C}},
      {"receptance.weight", {C, C}, {.silent = true}, joined},
      {"value.weight", {C, H}, {.silent = true}},
      {"gain", fires ? std::vector{H} : std::vector<std::int64_t>{}, {.kind = Kind::kGain}},
  };
  add_projections(context, {{kReceptance, kMixReceptance}, {kKey, kMixKey, squares}}, form);
  form.products.push_back({.weight = kValue, .reads = fires ? Reads::kSpikes : Reads::kSquares, .is_last = true});
  form.activations.push_back({C});  // the value
  if (fires) form.neurons = {{.place = context.hidden, .neurons = H, .gain = kGain, .is_rectified = true}};
  form.scratch = {C, joined ? H : C, C, C, std::max(H, 2 * C)};
  form.backward_scratch = {fires ? H : 0, joined ? H + C : 0};
  if (squares) form.operations += squared_relu_operations(H);
  form.operations += sigmoid_operations(C);
  form.operations += multiply_operations(C);
  return form;
}

class ChannelMix final : public MixerOf<ChannelMix> {
 public:
  const char* name() const override { return "channel mix"; }
  PartForm form(const MixerContext& context) const override { return form_of(context); }
  std::int64_t sums(const SequenceShape& shape, const ModelConfig& config) const override {
    return std::max(token_shift_scratch_size(shape), shape.batch * config.hidden_size());
  }

  template <class A>
  void run(const MixerPass<A>& mix, A* out) const {
    const Pass<A>& pass = mix.pass;
    A* const value = mix.keep.values.back();
    project(mix, pass.scratch->part[4]);
    const A* hidden = projected(mix, kK);
    if (mix.has_neurons()) {
      A* const spikes = pass.scratch->part[4];
      mix.fire(0, hidden, spikes);
      hidden = spikes;
    } else {
      mix.show_squares(hidden);
    }
    mix.products.back().forward(pass.shape.rows(), hidden, value, pass.runner);
    sigmoid_gate_forward(pass.shape.size(), projected(mix, kR), value, out);
  }

  template <class A>
  void run_backward(const MixerPass<A>& mix, const A* d_out, A* d_x, std::span<float* const> gradients) const {
    const Pass<A>& pass = mix.pass;
    const auto& scratch = pass.scratch->part;
    const std::int64_t rows = pass.shape.rows();
    const Linear& value = mix.products.back();
    A* const d_receptance = scratch[2];
    A* const d_value = scratch[3];
    A* const d_hidden = scratch[4];
    project_again(mix);
    sigmoid_gate_backward<A>(pass.shape.size(), {.receptance = projected(mix, kR),
                                                 .value = mix.keep.values.back(),
                                                 .d_output = d_out,
                                                 .d_receptance = d_receptance,
                                                 .d_value = d_value});
    value.backward_input(rows, d_value, d_hidden);
    const A* const current = projected(mix, kK);
    const A* hidden = current;
    if (mix.has_neurons()) {
      A* const spikes = scratch[5];
      mix.remake_spikes(0, spikes);
      hidden = spikes;
    }
    value.backward_weight(rows, d_value, hidden, gradients[kValue]);
    if (mix.has_neurons()) mix.fire_backward(0, current, d_hidden, gradients);
    if (mix.half.mixer.projections[kK].squares) {
      squared_relu_backward(rows * mix.half.mixer.inputs(mix.half.mixer.products.back()), current, d_hidden);
    }
    project_backward(mix, {d_receptance, d_hidden}, scratch[6], d_x, gradients);
  }
};

}  // namespace

const Mixer& channel_mix() {
  static const ChannelMix mixer;
  return mixer;
}

}  // namespace spikegpt
