#include "spikegpt/model/channel_mix.h"

#include "spikegpt/model/mixed_products.h"
#include "spikegpt/model/neuron_layer.h"
#include "spikegpt/model/spike_sites.h"

namespace spikegpt {

namespace {

int hidden_site(const ModelConfig& config, int layer, BlockHalf half) {
  const BlockSites sites = block_sites(config, layer);
  return half == BlockHalf::kFirst ? sites.hidden1 : sites.hidden2;
}

}  // namespace

ChannelMix::ChannelMix(const ModelConfig& config, int layer, BlockHalf half, GemmPrecision precision,
                       BackwardWeights* backward)
    : layer_(layer),
      half_(half),
      hidden_site_(hidden_site(config, layer, half)),
      squares_(hidden_site_ < 0 || config.squared_current),
      hidden_size_(config.hidden_size()),
      receptance_(config.n_embd, config.n_embd, precision, backward),
      key_(config.hidden_size(), config.n_embd, precision, backward),
      value_(config.n_embd, config.hidden_size(), precision, backward) {}

ChannelMix::ChannelMix(const ModelConfig& config, int layer, BlockHalf half, const PackedChannelMix& packed)
    : layer_(layer),
      half_(half),
      hidden_site_(hidden_site(config, layer, half)),
      squares_(hidden_site_ < 0 || config.squared_current),
      hidden_size_(config.hidden_size()),
      receptance_(packed.receptance),
      key_(packed.key),
      value_(packed.value) {}

void ChannelMix::pack(const ChannelMixWeights& weights, float scale) {
  receptance_.pack(weights.receptance);
  key_.pack(weights.key);
  value_.pack(weights.value, scale);
}

float* ChannelMix::shift_state(const RecurrentState* state) const {
  if (state == nullptr) return nullptr;
  const BlockState& block = state->block(layer_);
  return half_ == BlockHalf::kFirst ? block.att_shift : block.ffn_shift;
}

// The two mixes of the input: for r and k.
template <class A>
TokenShiftForward<A> ChannelMix::shift_of(const Pass<A>& pass, const ChannelMixWeights& weights, const A* x,
                                          const RecurrentState* state_out) const {
  TokenShiftForward<A> shift;
  shift.x = x;
  shift.mixes = 2;
  shift.mu = {weights.time_mix_r, weights.time_mix_k};
  shift.mixed = {pass.scratch->narrow[0], pass.scratch->narrow[1]};
  shift.previous = shift_state(pass.state_in);
  shift.last = shift_state(state_out);
  return shift;
}

template <class A>
void ChannelMix::forward(const Pass<A>& pass, const ChannelMixWeights& weights, MixActivations<A>& keep, A* out) const {
  const std::int64_t rows = pass.shape.rows();
  const bool fires = hidden_site_ >= 0;
  A* const spikes = pass.scratch->wide[0];
  mixed_products<A>(pass, shift_of(pass, weights, keep.input, pass.state_out),
                    {{{&receptance_, keep.receptance},
                      {&key_, fires ? keep.key : keep.hidden, squares_ ? Epilogue::kSquaredRelu : Epilogue::kNone}}},
                    pass.scratch->wide[0]);
  if (fires) {
    neurons_forward<A>(pass, {.site = hidden_site_,
                              .neurons = hidden_size_,
                              .current = keep.key,
                              .gain = weights.gain,
                              .spikes = spikes,
                              .distance = keep.hidden_distance,
                              .kept = keep.hidden_kept,
                              .rectified = true});
  } else if (pass.probe != nullptr) {
    pass.probe->on_hidden({layer_, half_ == BlockHalf::kFirst, pass.shape.batch, pass.shape.tokens, hidden_size_,
                           kDTypeOf<A>, keep.hidden});
  }
  value_.forward(rows, fires ? spikes : keep.hidden, keep.value, pass.runner);
  sigmoid_gate_forward(pass.shape.size(), keep.receptance, keep.value, out);
}

template <class A>
void ChannelMix::backward(const Pass<A>& pass, const ChannelMixWeights& weights, const MixActivations<A>& keep,
                          const A* d_out, A* d_x, const ChannelMixWeights& gradients) const {
  const std::int64_t rows = pass.shape.rows();
  const auto& [mixed_r, mixed_k, d_receptance, d_value] = pass.scratch->narrow;
  A* const d_hidden = pass.scratch->wide[0];
  sigmoid_gate_backward<A>(pass.shape.size(), {.receptance = keep.receptance,
                                               .value = keep.value,
                                               .d_output = d_out,
                                               .d_receptance = d_receptance,
                                               .d_value = d_value});
  value_.backward_input(rows, d_value, d_hidden);
  if (hidden_site_ < 0) {
    value_.backward_weight(rows, d_value, keep.hidden, gradients.value);
    squared_relu_backward(rows * hidden_size_, keep.hidden, d_hidden);
  } else {
    A* const spikes = pass.scratch->wide[1];
    spikes_from_distance(rows * hidden_size_, rectified_neuron(pass.neuron(hidden_site_)), pass.fire,
                         keep.hidden_distance, spikes, keep.hidden_kept);
    value_.backward_weight(rows, d_value, spikes, gradients.value);
    neurons_backward<A, A>(pass, {.site = hidden_site_,
                                  .neurons = hidden_size_,
                                  .distance = keep.hidden_distance,
                                  .kept = keep.hidden_kept,
                                  .d_spikes = d_hidden,
                                  .current = keep.key,
                                  .gain = weights.gain,
                                  .d_current = d_hidden,
                                  .d_gain = gradients.gain,
                                  .rectified = true});
    if (squares_) squared_relu_backward(rows * hidden_size_, keep.key, d_hidden);
  }

  token_shift_forward(pass.shape, shift_of<A>(pass, weights, keep.input, nullptr));
  receptance_.backward_weight(rows, d_receptance, mixed_r, gradients.receptance);
  key_.backward_weight(rows, d_hidden, mixed_k, gradients.key);
  // The mixes are done with: their memory takes their gradients.
  receptance_.backward_input(rows, d_receptance, mixed_r);
  key_.backward_input(rows, d_hidden, mixed_k);

  TokenShiftBackward<A> shift;
  shift.x = keep.input;
  shift.mixes = 2;
  shift.mu = {weights.time_mix_r, weights.time_mix_k};
  shift.d_mixed = {mixed_r, mixed_k};
  shift.previous = shift_state(pass.state_in);
  shift.d_x = d_x;
  shift.d_mu = {gradients.time_mix_r, gradients.time_mix_k};
  shift.scratch = pass.scratch->sums;
  token_shift_backward(pass.shape, shift);
}

template void ChannelMix::forward(const Pass<float>&, const ChannelMixWeights&, MixActivations<float>&, float*) const;
template void ChannelMix::forward(const Pass<Bf16>&, const ChannelMixWeights&, MixActivations<Bf16>&, Bf16*) const;
template void ChannelMix::backward(const Pass<float>&, const ChannelMixWeights&, const MixActivations<float>&,
                                   const float*, float*, const ChannelMixWeights&) const;
template void ChannelMix::backward(const Pass<Bf16>&, const ChannelMixWeights&, const MixActivations<Bf16>&,
                                   const Bf16*, Bf16*, const ChannelMixWeights&) const;

}  // namespace spikegpt
