#include "spikegpt/model/block.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/model/neuron_layer.h"

namespace spikegpt {
namespace {

constexpr int kRescaleBlocks = 6;  // of the published inference script, SPEC.md 10

// keep.input = LN(x), or the spikes of neurons that read it.
template <class A>
void read_residual(const Pass<A>& pass, const LayerNormWeights& norm, int site, const float* x,
                   const HalfActivations<A>& keep) {
  A* const normal = site < 0 ? keep.input : pass.scratch->branch;
  layer_norm_forward<A>(pass.shape.rows(), pass.shape.channels,
                        {.x = x,
                         .weight = norm.weight,
                         .bias = norm.bias,
                         .y = normal,
                         .mean = keep.mean,
                         .inverse_std = keep.inverse_std});
  if (site < 0) return;
  neurons_forward<A>(pass, {.site = site,
                            .neurons = pass.shape.channels,
                            .current = normal,
                            .spikes = keep.input,
                            .kept = keep.input_neurons});
}

// keep.input as read_residual made it.
template <class A>
void remake_input(const Pass<A>& pass, const LayerNormWeights& norm, int site, const float* x,
                  const HalfActivations<A>& keep) {
  if (site >= 0) {
    return remake_neurons<A>(
        pass, {.site = site, .neurons = pass.shape.channels, .spikes = keep.input, .kept = keep.input_neurons});
  }
  layer_norm_forward<A>(pass.shape.rows(), pass.shape.channels,
                        {.x = x, .weight = norm.weight, .bias = norm.bias, .y = keep.input});
}

// What a half adds to the residual stream: its output in scratch.branch, or the spikes that it causes.
template <class A>
const A* fire_output(const Pass<A>& pass, int site, const HalfActivations<A>& keep) {
  if (site < 0) return pass.scratch->branch;
  A* const spikes = pass.scratch->part[0];
  neurons_forward<A>(pass, {.site = site,
                            .neurons = pass.shape.channels,
                            .current = pass.scratch->branch,
                            .spikes = spikes,
                            .kept = keep.output_neurons});
  return spikes;
}

// scratch.branch = gradient of a half's output, from the gradient of the residual stream.
template <class A>
void output_gradient(const Pass<A>& pass, int site, const HalfActivations<A>& keep, const float* d_x) {
  if (site < 0) return convert(pass.shape.size(), d_x, pass.scratch->branch);
  neurons_backward<A, float>(pass, {.site = site,
                                    .neurons = pass.shape.channels,
                                    .kept = keep.output_neurons,
                                    .d_spikes = d_x,
                                    .d_current = pass.scratch->branch});
}

// Adds to d_x what flows back through keep.input, whose gradient is in scratch.branch.
template <class A>
void input_gradient(const Pass<A>& pass, const LayerNormWeights& norm, int site, const HalfActivations<A>& keep,
                    const float* x, float* d_x, const LayerNormWeights& gradients) {
  A* const d_input = pass.scratch->branch;
  if (site >= 0) {
    neurons_backward<A, A>(pass, {.site = site,
                                  .neurons = pass.shape.channels,
                                  .kept = keep.input_neurons,
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

}  // namespace

float published_scale(const ModelConfig& config, int layer) {
  return config.published_rescale ? std::ldexp(1.0f, -(layer / kRescaleBlocks)) : 1.0f;
}

bool is_halved_after(const ModelConfig& config, int layer) {
  return config.published_rescale && (layer + 1) % kRescaleBlocks == 0;
}

Block::Block(const NetworkForm& network, int layer, GemmPrecision precision, BackwardWeights* backward)
    : layer_(layer) {
  for (const HalfForm& form : network.blocks[static_cast<std::size_t>(layer)].halves) {
    Half& half = halves_.emplace_back(Half{form, {}});
    for (const ProductForm& product : form.mixer.products) {
      half.products.emplace_back(form.mixer.outputs(product), form.mixer.inputs(product), precision, backward);
    }
  }
}

Block::Block(const NetworkForm& network, int layer, std::span<const PackedMatrix> packed) : layer_(layer) {
  for (const HalfForm& form : network.blocks[static_cast<std::size_t>(layer)].halves) {
    Half& half = halves_.emplace_back(Half{form, {}});
    for (std::size_t i = 0; i < form.mixer.products.size(); ++i) {
      half.products.emplace_back(packed[form.first_product + i]);
    }
  }
}

void Block::pack(const BlockWeights& weights, float scale) {
  for (std::size_t i = 0; i < halves_.size(); ++i) {
    const std::vector<ProductForm>& products = halves_[i].form.mixer.products;
    for (std::size_t p = 0; p < products.size(); ++p) {
      halves_[i].products[p].pack(weights.halves[i].mixer[products[p].weight], products[p].is_last ? scale : 1.0f);
    }
  }
}

std::string Block::half_name(std::size_t i) const {
  const std::string_view name = halves_[i].form.row.mixer->name();
  for (std::size_t other = i + 1; other < halves_.size(); ++other) {
    if (halves_[other].form.row.mixer->name() == name) return fmt::format("first {}", name);
  }
  return std::string(name);
}

template <class A>
MixerPass<A> Block::mixer_pass(const Pass<A>& pass, const Half& half, const HalfWeights& weights,
                               const HalfActivations<A>& keep) const {
  MixerPass<A> mix = {pass, half.form, half.products, weights.mixer, keep};
  const auto index = static_cast<std::size_t>(&half - halves_.data());
  if (pass.state_in != nullptr) mix.state_in = pass.state_in->mixer(layer_, index);
  if (pass.state_out != nullptr) mix.state_out = pass.state_out->mixer(layer_, index);
  return mix;
}

template <class A>
Dropout Block::dropout_of(const Pass<A>& pass, std::size_t half) const {
  if (!is_last(half)) return {};
  Dropout dropout = pass.dropout;
  dropout.stream += static_cast<std::uint64_t>(layer_);
  return dropout;
}

template <class A>
void Block::forward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
                    float* x_out) const {
  for (std::size_t i = 0; i < halves_.size(); ++i) {
    const HalfForm& form = halves_[i].form;
    const HalfActivations<A>& kept = keep.halves[i];
    const float* const before = stream(keep, x, i);
    read_residual(pass, weights.halves[i].norm, form.input_site, before, kept);
    form.row.mixer->forward(mixer_pass(pass, halves_[i], weights.halves[i], kept), pass.scratch->branch);
    residual_add(pass.shape.size(), before, fire_output(pass, form.output_site, kept), dropout_of(pass, i),
                 is_last(i) ? x_out : keep.between[i]);
  }
}

template <class A>
void Block::backward(const Pass<A>& pass, const BlockWeights& weights, const BlockActivations<A>& keep, const float* x,
                     float* d_x, const BlockWeights& gradients) const {
  A* const branch = pass.scratch->branch;
  dropout_backward(pass.shape.size(), dropout_of(pass, halves_.size() - 1), d_x);
  for (std::size_t i = halves_.size(); i-- > 0;) {
    const HalfForm& form = halves_[i].form;
    const HalfActivations<A>& kept = keep.halves[i];
    const HalfWeights& half = weights.halves[i];
    const HalfWeights& gradient = gradients.halves[i];
    const float* const before = stream(keep, x, i);
    output_gradient(pass, form.output_site, kept, d_x);
    if (keep.remakes_stream && is_last(i)) remake_between(pass, keep, x, i);
    remake_input(pass, half.norm, form.input_site, before, kept);
    form.row.mixer->backward(mixer_pass(pass, halves_[i], half, kept), branch, branch, gradient.mixer);
    input_gradient(pass, half.norm, form.input_site, kept, before, d_x, gradient.norm);
  }
}

// keep.between of the halves before half `end`.
template <class A>
void Block::remake_between(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x,
                           std::size_t end) const {
  for (std::size_t i = 0; i < end; ++i) add_spikes_again(pass, keep, x, i, keep.between[i]);
}

// The stream behind half i, from the one before it.
template <class A>
void Block::add_spikes_again(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, std::size_t i,
                             float* after) const {
  A* const spikes = pass.scratch->part[0];
  remake_neurons<A>(pass, {.site = halves_[i].form.output_site,
                           .neurons = pass.shape.channels,
                           .spikes = spikes,
                           .kept = keep.halves[i].output_neurons});
  residual_add(pass.shape.size(), stream(keep, x, i), spikes, dropout_of(pass, i), after);
}

template <class A>
void Block::remake_output(const Pass<A>& pass, const BlockActivations<A>& keep, const float* x, float* x_out) const {
  const std::size_t last = halves_.size() - 1;
  remake_between(pass, keep, x, last);
  add_spikes_again(pass, keep, x, last, x_out);
}

template void Block::forward(const Pass<float>&, const BlockWeights&, const BlockActivations<float>&, const float*,
                             float*) const;
template void Block::forward(const Pass<Bf16>&, const BlockWeights&, const BlockActivations<Bf16>&, const float*,
                             float*) const;
template void Block::backward(const Pass<float>&, const BlockWeights&, const BlockActivations<float>&, const float*,
                              float*, const BlockWeights&) const;
template void Block::backward(const Pass<Bf16>&, const BlockWeights&, const BlockActivations<Bf16>&, const float*,
                              float*, const BlockWeights&) const;
template void Block::remake_output(const Pass<float>&, const BlockActivations<float>&, const float*, float*) const;
template void Block::remake_output(const Pass<Bf16>&, const BlockActivations<Bf16>&, const float*, float*) const;

}  // namespace spikegpt
