// Channel mix: the spiking receptance feed-forward layer (SPEC.md 5, 7).
#include "spikegpt/model/layer_operations.h"
#include "spikegpt/model/shifted_products.h"

namespace spikegpt {
namespace {

// The order in which form() lists things.
enum Parameter : std::size_t { kMixKey, kMixReceptance, kKey, kReceptance, kValue, kGain };
enum ProductIndex : std::size_t { kReceptanceProduct, kKeyProduct, kValueProduct };
// hidden: k (or relu(k)^2) in front of neurons; relu(k)^2 without them.
enum Activation : std::size_t { kKeptReceptance, kKeptValue, kKeptHidden };

PartForm form_of(const MixerContext& context) {
  const std::int64_t C = context.config.n_embd;
  const std::int64_t H = context.config.hidden_size();
  const bool fires = context.hidden != nullptr;
  const bool squares = !fires || context.config.squared_current;
  using Kind = FirstValues::Kind;
  using Reads = ProductForm::Reads;

  PartForm form;
  form.parameters = {
      {"time_mix_k", {1, 1, C}, {.kind = Kind::kTimeMix}},
      {"time_mix_r", {1, 1, C}, {.kind = Kind::kTimeMix}},
      {"key.weight", {H, C}},
      {"receptance.weight", {C, C}, {.silent = true}},
      {"value.weight", {C, H}, {.silent = true}},
      {"gain", fires ? std::vector{H} : std::vector<std::int64_t>{}, {.kind = Kind::kGain}},
  };
  form.products = {
      {kReceptance, Reads::kInput, kMixReceptance},
      {.weight = kKey, .reads = Reads::kInput, .from = kMixKey, .squares = squares},
      {.weight = kValue, .reads = fires ? Reads::kSpikes : Reads::kSquares, .is_last = true},
  };
  form.activations = {{C}, {C}, {H}};
  form.states = {shift_state(context)};
  if (fires) form.neurons = {{.place = context.hidden, .neurons = H, .gain = kGain, .is_rectified = true}};
  form.scratch = {C, C, C, C, std::max(H, 2 * C)};
  if (fires) form.backward_scratch = {H};
  if (!context.reads_spikes) form.operations += token_shift_operations(2 * C);
  if (squares) form.operations += squared_relu_operations(H);
  form.operations += sigmoid_operations(C);
  form.operations += multiply_operations(C);
  return form;
}

class ChannelMix final : public MixerOf<ChannelMix> {
 public:
  const char* name() const override { return "channel mix"; }
  PartForm form(const MixerContext& context) const override { return form_of(context); }
  std::int64_t sums(const SequenceShape& shape, const ModelConfig&) const override {
    return token_shift_scratch_size(shape);
  }

  template <class A>
  void run(const MixerPass<A>& mix, A* out) const {
    const Pass<A>& pass = mix.pass;
    const auto& kept = mix.keep.values;
    const ShiftedProduct<A> products[] = {{kReceptanceProduct, kept[kKeptReceptance]},
                                          {kKeyProduct, kept[kKeptHidden]}};
    shifted_products<A>(mix, products, pass.scratch->part[4]);
    const A* hidden = kept[kKeptHidden];
    if (mix.has_neurons()) {
      A* const spikes = pass.scratch->part[4];
      mix.fire(0, hidden, spikes);
      hidden = spikes;
    } else {
      mix.show_squares(hidden);
    }
    mix.products[kValueProduct].forward(pass.shape.rows(), hidden, kept[kKeptValue], pass.runner);
    sigmoid_gate_forward(pass.shape.size(), kept[kKeptReceptance], kept[kKeptValue], out);
  }

  template <class A>
  void run_backward(const MixerPass<A>& mix, const A* d_out, A* d_x, std::span<float* const> gradients) const {
    const Pass<A>& pass = mix.pass;
    const auto& kept = mix.keep.values;
    const auto& scratch = pass.scratch->part;
    const std::int64_t rows = pass.shape.rows();
    const Linear& value = mix.products[kValueProduct];
    A* const d_receptance = scratch[2];
    A* const d_value = scratch[3];
    A* const d_hidden = scratch[4];
    sigmoid_gate_backward<A>(pass.shape.size(), {.receptance = kept[kKeptReceptance],
                                                 .value = kept[kKeptValue],
                                                 .d_output = d_out,
                                                 .d_receptance = d_receptance,
                                                 .d_value = d_value});
    value.backward_input(rows, d_value, d_hidden);
    const A* hidden = kept[kKeptHidden];
    if (mix.has_neurons()) {
      A* const spikes = scratch[5];
      mix.remake_spikes(0, spikes);
      hidden = spikes;
    }
    value.backward_weight(rows, d_value, hidden, gradients[kValue]);
    if (mix.has_neurons()) mix.fire_backward(0, kept[kKeptHidden], d_hidden, gradients);
    if (mix.half.mixer.products[kKeyProduct].squares) {
      squared_relu_backward(rows * mix.half.mixer.activations[kKeptHidden].columns, kept[kKeptHidden], d_hidden);
    }
    const ShiftedProduct<A> products[] = {{kReceptanceProduct, d_receptance}, {kKeyProduct, d_hidden}};
    shifted_products_backward<A>(mix, products, d_x, gradients);
  }
};

}  // namespace

const Mixer& channel_mix() {
  static const ChannelMix mixer;
  return mixer;
}

}  // namespace spikegpt
