// Time mix: spiking RWKV attention, linear in the length of the text (SPEC.md 4, 7).
#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/kernels/wkv_scan.h"
#include "spikegpt/model/layer_operations.h"
#include "spikegpt/model/projections.h"

namespace spikegpt {
namespace {

// The order in which form() lists things.
enum Parameter : std::size_t {
  kTimeDecay,
  kTimeFirst,
  kMixKey,
  kMixValue,
  kMixReceptance,
  kKey,
  kValue,
  kReceptance,
  kOutput,
  kNormWeight,  // in front of the neurons, with attention_norm
  kNormBias,
  kGain,  // of the neurons, without
};
enum ProjectionIndex : std::size_t { kR, kK, kV };
enum Statistic : std::size_t { kNormMean, kNormInverseStd };
enum State : std::size_t { kShift, kNumerator, kDenominator, kMaxExponent };

PartForm form_of(const MixerContext& context) {
  const std::int64_t C = context.config.n_embd;
  const bool fires = context.hidden != nullptr;
  const bool norms = fires && context.config.attention_norm;
  using Kind = FirstValues::Kind;
  using Reads = ProductForm::Reads;
  const bool joined = context.shifts_after();
  const auto only_if = [&](bool exists) { return exists ? std::vector{C} : std::vector<std::int64_t>{}; };

  PartForm form;
  form.parameters = {
      {"time_decay", {C}, {.kind = Kind::kTimeDecay}},
      {"time_first", {C}, {.kind = Kind::kTimeFirst}},
      {"time_mix_k", {1, 1, C}, {.kind = Kind::kTimeMix}},
      {"time_mix_v", {1, 1, C}, {.kind = Kind::kTimeMix, .offset = 0.3}, joined},
      {"time_mix_r", {1, 1, C}, {.kind = Kind::kTimeMix, .scale = 0.5}, joined},
      {"key.weight", {C, C}, {.silent = true}},
      {"value.weight", {C, C}, {}, joined},
      {"receptance.weight", {C, C}, {.silent = true}, joined},
      {"output.weight", {C, C}, {.silent = true}},
      {"ln_out.weight", only_if(norms), {.kind = Kind::kGain}},
      {"ln_out.bias", only_if(norms), {.kind = Kind::kConstant}},
      {"gain", only_if(fires && !norms), {.kind = Kind::kGain}},
  };
  add_projections(context, {{kReceptance, kMixReceptance}, {kKey, kMixKey}, {kValue, kMixValue}}, form);
  form.products.push_back({.weight = kOutput, .reads = fires ? Reads::kSpikes : Reads::kDense, .is_last = true});
  form.activations.push_back({.columns = C, .is_remade = !fires});  // hidden: sigmoid(r) * wkv
  form.statistics = norms ? 2 : 0;
  form.states.insert(form.states.end(), {{"numerator", C}, {"denominator", C}, {"max_exponent", C, kEmptyMaxExponent}});
  if (fires) form.neurons = {{.place = context.hidden, .neurons = C, .gain = norms ? -1 : int{kGain}}};
  form.scratch = {C, C, C, C, 2 * C};
  if (joined) form.backward_scratch = {3 * C};
  form.operations += wkv_operations(C);
  form.operations += sigmoid_operations(C);
  form.operations += multiply_operations(C);
  if (norms) form.operations += layer_norm_operations(C);
  return form;
}

WkvState wkv_of(std::span<float* const> state) {
  if (state.empty()) return {};
  return {state[kNumerator], state[kDenominator], state[kMaxExponent]};
}

class TimeMix final : public MixerOf<TimeMix> {
 public:
  const char* name() const override { return "time mix"; }
  PartForm form(const MixerContext& context) const override { return form_of(context); }
  std::int64_t sums(const SequenceShape& shape, const ModelConfig&) const override {
    return std::max(wkv_scratch_size(shape), token_shift_scratch_size(shape));
  }

  template <class A>
  void run(const MixerPass<A>& mix, A* out) const {
    const Pass<A>& pass = mix.pass;
    project(mix, pass.scratch->part[4]);

    WkvForward<A> scan;
    scan.receptance = projected(mix, kR);
    scan.key = projected(mix, kK);
    scan.value = projected(mix, kV);
    scan.output = mix.keep.values.back();
    scan.in = wkv_of(mix.state_in);
    scan.out = wkv_of(mix.state_out);
    wkv_forward(pass.shape, {mix.weights[kTimeDecay], mix.weights[kTimeFirst]}, scan);

    const A* hidden = mix.keep.values.back();
    if (mix.has_neurons()) hidden = fire(mix, hidden);
    mix.products.back().forward(pass.shape.rows(), hidden, out, pass.runner);
  }

  template <class A>
  void run_backward(const MixerPass<A>& mix, const A* d_out, A* d_x, std::span<float* const> gradients) const {
    const Pass<A>& pass = mix.pass;
    A* const hidden = mix.keep.values.back();
    const auto& scratch = pass.scratch->part;
    const std::int64_t rows = pass.shape.rows();
    const Linear& output = mix.products.back();
    A* const d_hidden = scratch[3];
    output.backward_input(rows, d_out, d_hidden);
    if (mix.has_neurons()) fire_backward(mix, d_out, d_hidden, gradients);

    A* const d_key = scratch[4];
    A* const d_value = d_key + pass.shape.size();
    project_again(mix);
    WkvBackward<A> scan;
    scan.receptance = projected(mix, kR);
    scan.key = projected(mix, kK);
    scan.value = projected(mix, kV);
    scan.d_output = d_hidden;
    scan.in = wkv_of(mix.state_in);
    if (!mix.has_neurons()) scan.output = hidden;  // made again
    scan.d_receptance = d_hidden;
    scan.d_key = d_key;
    scan.d_value = d_value;
    scan.d_time_decay = gradients[kTimeDecay];
    scan.d_time_first = gradients[kTimeFirst];
    scan.scratch = pass.scratch->sums;
    wkv_backward(pass.shape, {mix.weights[kTimeDecay], mix.weights[kTimeFirst]}, scan);
    if (!mix.has_neurons()) output.backward_weight(rows, d_out, hidden, gradients[kOutput]);

    project_backward(mix, {d_hidden, d_key, d_value}, scratch.size() > 5 ? scratch[5] : nullptr, d_x, gradients);
  }

 private:
  // The spikes that sigmoid(r) * wkv causes, through a norm where there is one.
  template <class A>
  static const A* fire(const MixerPass<A>& mix, const A* hidden) {
    A* const normal = mix.pass.scratch->part[0];
    A* const spikes = mix.pass.scratch->part[3];
    const bool norms = mix.weights[kNormWeight] != nullptr;
    if (norms) {
      layer_norm_forward<A, A>(mix.pass.shape.rows(), mix.pass.shape.channels,
                               {.x = hidden,
                                .weight = mix.weights[kNormWeight],
                                .bias = mix.weights[kNormBias],
                                .y = normal,
                                .mean = mix.keep.statistics[kNormMean],
                                .inverse_std = mix.keep.statistics[kNormInverseStd]});
    }
    mix.fire(0, norms ? normal : hidden, spikes);
    return spikes;
  }

  // d_hidden, the gradient of the spikes, becomes that of what caused them; the output projection's own is added on the
  // way, while the spikes are there.
  template <class A>
  static void fire_backward(const MixerPass<A>& mix, const A* d_out, A* d_hidden, std::span<float* const> gradients) {
    const std::int64_t rows = mix.pass.shape.rows();
    const A* const hidden = mix.keep.values.back();
    A* const spikes = mix.pass.scratch->part[0];
    mix.remake_spikes(0, spikes);
    mix.products.back().backward_weight(rows, d_out, spikes, gradients[kOutput]);
    mix.fire_backward(0, hidden, d_hidden, gradients);
    if (mix.weights[kNormWeight] == nullptr) return;
    layer_norm_backward<A, A>(rows, mix.pass.shape.channels,
                              {.x = hidden,
                               .weight = mix.weights[kNormWeight],
                               .mean = mix.keep.statistics[kNormMean],
                               .inverse_std = mix.keep.statistics[kNormInverseStd],
                               .d_y = d_hidden,
                               .d_x = d_hidden,
                               .accumulate = false,
                               .d_weight = gradients[kNormWeight],
                               .d_bias = gradients[kNormBias],
                               .scratch = mix.pass.scratch->sums});
  }
};

}  // namespace

const Mixer& time_mix() {
  static const TimeMix mixer;
  return mixer;
}

}  // namespace spikegpt
