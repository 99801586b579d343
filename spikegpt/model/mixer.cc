#include "spikegpt/model/mixer.h"

#include "spikegpt/model/neuron_layer.h"

namespace spikegpt {
namespace {

float* gain_of(const NeuronForm& neurons, std::span<float* const> parameters) {
  return neurons.gain < 0 ? nullptr : parameters[static_cast<std::size_t>(neurons.gain)];
}

}  // namespace

template <class A>
void MixerPass<A>::fire(std::size_t i, const A* current, A* spikes) const {
  const NeuronForm& neurons = half.mixer.neurons[i];
  neurons_forward<A>(pass, {.site = half.sites[i],
                            .neurons = neurons.neurons,
                            .current = current,
                            .gain = gain_of(neurons, weights),
                            .spikes = spikes,
                            .kept = keep.neurons[i],
                            .rectified = neurons.is_rectified});
}

template <class A>
void MixerPass<A>::remake_spikes(std::size_t i, A* spikes) const {
  const NeuronForm& neurons = half.mixer.neurons[i];
  remake_neurons<A>(pass, {.site = half.sites[i],
                           .neurons = neurons.neurons,
                           .spikes = spikes,
                           .kept = keep.neurons[i],
                           .rectified = neurons.is_rectified});
}

template <class A>
void MixerPass<A>::fire_backward(std::size_t i, const A* current, A* d, std::span<float* const> gradients) const {
  const NeuronForm& neurons = half.mixer.neurons[i];
  neurons_backward<A, A>(pass, {.site = half.sites[i],
                                .neurons = neurons.neurons,
                                .kept = keep.neurons[i],
                                .d_spikes = d,
                                .current = current,
                                .gain = gain_of(neurons, weights),
                                .d_current = d,
                                .d_gain = gain_of(neurons, gradients),
                                .rectified = neurons.is_rectified});
}

template <class A>
void MixerPass<A>::show_squares(const A* values) const {
  if (pass.probe == nullptr) return;
  for (const ProductForm& product : half.mixer.products) {
    if (product.reads != ProductForm::Reads::kSquares) continue;
    pass.probe->on_hidden(
        {half.sparse, pass.shape.batch, pass.shape.tokens, half.mixer.inputs(product), kDTypeOf<A>, values});
  }
}

template struct MixerPass<float>;
template struct MixerPass<Bf16>;

}  // namespace spikegpt
