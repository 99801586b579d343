#include "spikegpt/model/time_mix.h"

#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/kernels/wkv_scan.h"
#include "spikegpt/model/mixed_products.h"
#include "spikegpt/model/neuron_layer.h"
#include "spikegpt/model/spike_sites.h"

namespace spikegpt {
namespace {

// The three mixes of the input: for r, k and v.
template <class A>
TokenShiftForward<A> shift_of(const Pass<A>& pass, int layer, const TimeMixWeights& weights, const A* x,
                              const RecurrentState* state_out) {
  TokenShiftForward<A> shift;
  shift.x = x;
  shift.mixes = 3;
  shift.mu = {weights.time_mix_r, weights.time_mix_k, weights.time_mix_v};
  for (std::size_t j = 0; j < 3; ++j) shift.mixed[j] = pass.scratch->narrow[j];
  if (pass.state_in != nullptr) shift.previous = pass.state_in->block(layer).att_shift;
  if (state_out != nullptr) shift.last = state_out->block(layer).att_shift;
  return shift;
}

template <class A>
void shift_backward(const Pass<A>& pass, int layer, const TimeMixWeights& weights, const A* x, A* d_x,
                    const TimeMixWeights& gradients) {
  TokenShiftBackward<A> shift;
  shift.x = x;
  shift.mixes = 3;
  shift.mu = {weights.time_mix_r, weights.time_mix_k, weights.time_mix_v};
  for (std::size_t j = 0; j < 3; ++j) shift.d_mixed[j] = pass.scratch->narrow[j];
  if (pass.state_in != nullptr) shift.previous = pass.state_in->block(layer).att_shift;
  shift.d_x = d_x;
  shift.d_mu = {gradients.time_mix_r, gradients.time_mix_k, gradients.time_mix_v};
  shift.scratch = pass.scratch->sums;
  token_shift_backward(pass.shape, shift);
}

}  // namespace

TimeMix::TimeMix(const ModelConfig& config, int layer, GemmPrecision precision, BackwardWeights* backward)
    : layer_(layer),
      hidden_site_(block_sites(config, layer).hidden1),
      receptance_(config.n_embd, config.n_embd, precision, backward),
      key_(config.n_embd, config.n_embd, precision, backward),
      value_(config.n_embd, config.n_embd, precision, backward),
      output_(config.n_embd, config.n_embd, precision, backward) {}

TimeMix::TimeMix(const ModelConfig& config, int layer, const PackedTimeMix& packed)
    : layer_(layer),
      hidden_site_(block_sites(config, layer).hidden1),
      receptance_(packed.receptance),
      key_(packed.key),
      value_(packed.value),
      output_(packed.output) {}

void TimeMix::pack(const TimeMixWeights& weights, float scale) {
  receptance_.pack(weights.receptance);
  key_.pack(weights.key);
  value_.pack(weights.value);
  output_.pack(weights.output, scale);
}

template <class A>
void TimeMix::forward(const Pass<A>& pass, const TimeMixWeights& weights, MixActivations<A>& keep, A* out) const {
  const std::int64_t rows = pass.shape.rows();
  A* const spikes = pass.scratch->narrow[3];
  mixed_products<A>(pass, shift_of(pass, layer_, weights, keep.input, pass.state_out),
                    {{{&receptance_, keep.receptance}, {&key_, keep.key}, {&value_, keep.value}}},
                    pass.scratch->wide[0]);

  WkvForward<A> scan;
  scan.receptance = keep.receptance;
  scan.key = keep.key;
  scan.value = keep.value;
  scan.output = keep.hidden;
  if (pass.state_in != nullptr) scan.in = pass.state_in->block(layer_).wkv;
  if (pass.state_out != nullptr) scan.out = pass.state_out->block(layer_).wkv;
  wkv_forward(pass.shape, {weights.time_decay, weights.time_first}, scan);

  if (hidden_site_ < 0) return output_.forward(rows, keep.hidden, out, pass.runner);
  const A* current = keep.hidden;
  if (const LayerNormWeights& norm = weights.ln_out; norm.weight != nullptr) {
    A* const normal = pass.scratch->narrow[0];
    layer_norm_forward<A, A>(rows, pass.shape.channels,
                             {.x = keep.hidden,
                              .weight = norm.weight,
                              .bias = norm.bias,
                              .y = normal,
                              .mean = keep.hidden_mean,
                              .inverse_std = keep.hidden_inverse_std});
    current = normal;
  }
  neurons_forward<A>(pass, {.site = hidden_site_,
                            .neurons = pass.shape.channels,
                            .current = current,
                            .gain = weights.gain,
                            .spikes = spikes,
                            .distance = keep.hidden_distance,
                            .kept = keep.hidden_kept});
  output_.forward(rows, spikes, out, pass.runner);
}

template <class A>
void TimeMix::backward(const Pass<A>& pass, const TimeMixWeights& weights, const MixActivations<A>& keep,
                       const A* d_out, A* d_x, const TimeMixWeights& gradients) const {
  const std::int64_t rows = pass.shape.rows();
  const auto& [mixed_r, mixed_k, mixed_v, d_hidden] = pass.scratch->narrow;
  A* const d_key = pass.scratch->wide[0];
  A* const d_value = d_key + pass.shape.size();
  A* const d_receptance = d_hidden;

  output_.backward_input(rows, d_out, d_hidden);
  if (hidden_site_ >= 0) {
    spikes_from_distance(pass.shape.size(), pass.neuron(hidden_site_), pass.fire, keep.hidden_distance, mixed_r,
                         keep.hidden_kept);
    output_.backward_weight(rows, d_out, mixed_r, gradients.output);
    neurons_backward<A, A>(pass, {.site = hidden_site_,
                                  .neurons = pass.shape.channels,
                                  .distance = keep.hidden_distance,
                                  .kept = keep.hidden_kept,
                                  .d_spikes = d_hidden,
                                  .current = keep.hidden,
                                  .gain = weights.gain,
                                  .d_current = d_hidden,
                                  .d_gain = gradients.gain});
  }
  if (const LayerNormWeights& norm = weights.ln_out; norm.weight != nullptr) {
    layer_norm_backward<A, A>(rows, pass.shape.channels,
                              {.x = keep.hidden,
                               .weight = norm.weight,
                               .mean = keep.hidden_mean,
                               .inverse_std = keep.hidden_inverse_std,
                               .d_y = d_hidden,
                               .d_x = d_hidden,
                               .accumulate = false,
                               .d_weight = gradients.ln_out.weight,
                               .d_bias = gradients.ln_out.bias,
                               .scratch = pass.scratch->sums});
  }

  WkvBackward<A> scan;
  scan.receptance = keep.receptance;
  scan.key = keep.key;
  scan.value = keep.value;
  scan.d_output = d_hidden;
  if (pass.state_in != nullptr) scan.in = pass.state_in->block(layer_).wkv;
  if (hidden_site_ < 0) scan.output = keep.hidden;
  scan.d_receptance = d_receptance;
  scan.d_key = d_key;
  scan.d_value = d_value;
  scan.d_time_decay = gradients.time_decay;
  scan.d_time_first = gradients.time_first;
  scan.scratch = pass.scratch->sums;
  wkv_backward(pass.shape, {weights.time_decay, weights.time_first}, scan);
  if (hidden_site_ < 0) output_.backward_weight(rows, d_out, keep.hidden, gradients.output);

  token_shift_forward(pass.shape, shift_of<A>(pass, layer_, weights, keep.input, nullptr));
  receptance_.backward_weight(rows, d_receptance, mixed_r, gradients.receptance);
  key_.backward_weight(rows, d_key, mixed_k, gradients.key);
  value_.backward_weight(rows, d_value, mixed_v, gradients.value);
  // The mixes are done with: their memory takes their gradients.
  receptance_.backward_input(rows, d_receptance, mixed_r);
  key_.backward_input(rows, d_key, mixed_k);
  value_.backward_input(rows, d_value, mixed_v);
  shift_backward(pass, layer_, weights, keep.input, d_x, gradients);
}

template void TimeMix::forward(const Pass<float>&, const TimeMixWeights&, MixActivations<float>&, float*) const;
template void TimeMix::forward(const Pass<Bf16>&, const TimeMixWeights&, MixActivations<Bf16>&, Bf16*) const;
template void TimeMix::backward(const Pass<float>&, const TimeMixWeights&, const MixActivations<float>&, const float*,
                                float*, const TimeMixWeights&) const;
template void TimeMix::backward(const Pass<Bf16>&, const TimeMixWeights&, const MixActivations<Bf16>&, const Bf16*,
                                Bf16*, const TimeMixWeights&) const;

}  // namespace spikegpt
