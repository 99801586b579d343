#include "spikegpt/model/block.h"

#include <cmath>

#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/model/neuron_layer.h"

namespace spikegpt {
namespace {

constexpr int kRescaleBlocks = 6;  // of the published inference script, SPEC.md 10

}  // namespace

float published_scale(const ModelConfig& config, int layer) {
  return config.published_rescale ? std::ldexp(1.0f, -(layer / kRescaleBlocks)) : 1.0f;
}

bool is_halved_after(const ModelConfig& config, int layer) {
  return config.published_rescale && (layer + 1) % kRescaleBlocks == 0;
}

Block::Block(const ModelConfig& config, int layer, GemmPrecision precision, BackwardWeights* backward)
    : layer_(layer),
      sites_(block_sites(config, layer)),
      channel_mix_(config, layer, BlockHalf::kSecond, precision, backward) {
  if (layer == 0 && config.has_ffn_pre()) {
    ffn_pre_.emplace(config, layer, BlockHalf::kFirst, precision, backward);
  } else {
    time_mix_.emplace(config, layer, precision, backward);
  }
}

Block::Block(const ModelConfig& config, int layer, const PackedBlock& packed)
    : layer_(layer), sites_(block_sites(config, layer)), channel_mix_(config, layer, BlockHalf::kSecond, packed.ffn) {
  if (layer == 0 && config.has_ffn_pre()) {
    ffn_pre_.emplace(config, layer, BlockHalf::kFirst, packed.ffn_pre);
  } else {
    time_mix_.emplace(config, layer, packed.att);
  }
}

void Block::pack(const BlockWeights& weights, float scale) {
  if (time_mix_) time_mix_->pack(weights.att, scale);
  if (ffn_pre_) ffn_pre_->pack(weights.ffn_pre, scale);
  channel_mix_.pack(weights.ffn, scale);
}

// keep.input = LN(x), or in `event` the spikes of LIF(LN(x)).
template <class A>
void Block::read_residual(const Pass<A>& pass, const LayerNormWeights& norm, int input_site, const float* x,
                          MixActivations<A>& keep) const {
  A* const normal = input_site < 0 ? keep.input : pass.scratch->branch;
  layer_norm_forward<A>(pass.shape.rows(), pass.shape.channels,
                        {.x = x,
                         .weight = norm.weight,
                         .bias = norm.bias,
                         .y = normal,
                         .mean = keep.mean,
                         .inverse_std = keep.inverse_std});
  if (input_site < 0) return;
  neurons_forward<A>(pass, {.site = input_site,
                            .neurons = pass.shape.channels,
                            .current = normal,
                            .spikes = keep.input,
                            .distance = keep.input_distance,
                            .kept = keep.input_kept});
}

// What a half adds to the residual stream: its output in scratch.branch, or in `spikegpt` the spikes it causes.
template <class A>
const A* Block::fire_output(const Pass<A>& pass, int output_site, const MixActivations<A>& keep) const {
  if (output_site < 0) return pass.scratch->branch;
  A* const spikes = pass.scratch->narrow[0];
  neurons_forward<A>(pass, {.site = output_site,
                            .neurons = pass.shape.channels,
                            .current = pass.scratch->branch,
                            .spikes = spikes,
                            .distance = keep.output_distance,
                            .kept = keep.output_kept});
  return spikes;
}

template <class A>
void Block::forward(const Pass<A>& pass, const BlockWeights& weights, BlockActivations<A>& keep, const float* x,
                    float* x_out) const {
  const std::int64_t size = pass.shape.size();
  A* const branch = pass.scratch->branch;
  read_residual(pass, weights.ln1, sites_.input1, x, keep.first);
  if (time_mix_) {
    time_mix_->forward(pass, weights.att, keep.first, branch);
  } else {
    ffn_pre_->forward(pass, weights.ffn_pre, keep.first, branch);
  }
  residual_add(size, x, fire_output(pass, sites_.output1, keep.first), Dropout{}, keep.middle);

  read_residual(pass, weights.ln2, sites_.input2, keep.middle, keep.second);
  channel_mix_.forward(pass, weights.ffn, keep.second, branch);
  residual_add(size, keep.middle, fire_output(pass, sites_.output2, keep.second), dropout_of(pass), x_out);
}

// scratch.branch = gradient of a half's output, from the gradient of the residual stream.
template <class A>
void Block::output_gradient(const Pass<A>& pass, int output_site, const MixActivations<A>& keep,
                            const float* d_x) const {
  if (output_site < 0) return convert(pass.shape.size(), d_x, pass.scratch->branch);
  neurons_backward<A, float>(pass, {.site = output_site,
                                    .neurons = pass.shape.channels,
                                    .distance = keep.output_distance,
                                    .kept = keep.output_kept,
                                    .d_spikes = d_x,
                                    .d_current = pass.scratch->branch});
}

// Adds to d_x what flows back through keep.input, whose gradient is in scratch.branch.
template <class A>
void Block::input_gradient(const Pass<A>& pass, const LayerNormWeights& norm, int input_site,
                           const MixActivations<A>& keep, const float* x, float* d_x,
                           const LayerNormWeights& gradients) const {
  A* const d_input = pass.scratch->branch;
  if (input_site >= 0) {
    neurons_backward<A, A>(pass, {.site = input_site,
                                  .neurons = pass.shape.channels,
                                  .distance = keep.input_distance,
                                  .kept = keep.input_kept,
                                  .d_spikes = d_input,
                                  .d_current = d_input});
  }
  layer_norm_backward<A>(pass.shape.rows(), pass.shape.channels,
                         {.x = x,
                          .weight = norm.weight,
                          .mean = keep.mean,
                          .inverse_std = keep.inverse_std,
                          .d_y = d_input,
                          .d_x = d_x,
                          .accumulate = true,
                          .d_weight = gradients.weight,
                          .d_bias = gradients.bias,
                          .scratch = pass.scratch->sums});
}

template <class A>
Dropout Block::dropout_of(const Pass<A>& pass) const {
  Dropout dropout = pass.dropout;
  dropout.stream += static_cast<std::uint64_t>(layer_);
  return dropout;
}

template <class A>
void Block::remake_middle(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x) const {
  A* const spikes = pass.scratch->narrow[0];
  spikes_from_distance(pass.shape.size(), pass.neuron(sites_.output1), pass.fire, keep.first.output_distance, spikes,
                       keep.first.output_kept);
  residual_add(pass.shape.size(), x, spikes, Dropout{}, keep.middle);
}

template <class A>
void Block::remake_output(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, float* x_out) const {
  A* const spikes = pass.scratch->narrow[0];
  remake_middle(pass, keep, x);
  spikes_from_distance(pass.shape.size(), pass.neuron(sites_.output2), pass.fire, keep.second.output_distance, spikes,
                       keep.second.output_kept);
  residual_add(pass.shape.size(), keep.middle, spikes, dropout_of(pass), x_out);
}

// keep.input as read_residual made it.
template <class A>
void Block::remake_input(const Pass<A>& pass, const LayerNormWeights& norm, int input_site, const float* x,
                         const MixActivations<A>& keep) const {
  if (input_site >= 0) {
    return spikes_from_distance(pass.shape.size(), pass.neuron(input_site), pass.fire, keep.input_distance, keep.input,
                                keep.input_kept);
  }
  layer_norm_forward<A>(pass.shape.rows(), pass.shape.channels,
                        {.x = x, .weight = norm.weight, .bias = norm.bias, .y = keep.input});
}

template <class A>
void Block::backward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
                     float* d_x, const BlockWeights& gradients) const {
  A* const branch = pass.scratch->branch;
  dropout_backward(pass.shape.size(), dropout_of(pass), d_x);
  output_gradient(pass, sites_.output2, keep.second, d_x);
  if (keep.remakes_stream) remake_middle(pass, keep, x);
  remake_input(pass, weights.ln2, sites_.input2, keep.middle, keep.second);
  channel_mix_.backward(pass, weights.ffn, keep.second, branch, branch, gradients.ffn);
  input_gradient(pass, weights.ln2, sites_.input2, keep.second, keep.middle, d_x, gradients.ln2);

  output_gradient(pass, sites_.output1, keep.first, d_x);
  remake_input(pass, weights.ln1, sites_.input1, x, keep.first);
  if (time_mix_) {
    time_mix_->backward(pass, weights.att, keep.first, branch, branch, gradients.att);
  } else {
    ffn_pre_->backward(pass, weights.ffn_pre, keep.first, branch, branch, gradients.ffn_pre);
  }
  input_gradient(pass, weights.ln1, sites_.input1, keep.first, x, d_x, gradients.ln1);
}

template void Block::forward(const Pass<float>&, const BlockWeights&, BlockActivations<float>&, const float*,
                             float*) const;
template void Block::forward(const Pass<Bf16>&, const BlockWeights&, BlockActivations<Bf16>&, const float*,
                             float*) const;
template void Block::backward(const Pass<float>&, const BlockWeights&, const BlockActivations<float>&, const float*,
                              float*, const BlockWeights&) const;
template void Block::backward(const Pass<Bf16>&, const BlockWeights&, const BlockActivations<Bf16>&, const float*,
                              float*, const BlockWeights&) const;

template void Block::remake_output(const Pass<float>&, const BlockActivations<float>&, const float*, float*) const;
template void Block::remake_output(const Pass<Bf16>&, const BlockActivations<Bf16>&, const float*, float*) const;

}  // namespace spikegpt
