#include "spikegpt/model/neuron_layer.h"

namespace spikegpt {
namespace {

// What the neurons of a site learn, or nothing.
template <class A>
LearnedValues learned_of(const Pass<A>& pass, int site) {
  if (pass.learned.empty()) return {};
  return {pass.learned[static_cast<std::size_t>(site)], pass.learned_per_layer};
}

template <class A>
NeuronParameters neuron_of(const Pass<A>& pass, int site, bool rectified) {
  NeuronParameters neuron = pass.neuron(site);
  neuron.is_signed = neuron.is_signed && !rectified;
  return neuron;
}

// Adds what the neurons sent, whose spikes the scan counted.
template <class A>
void add_count(const Pass<A>& pass, const NeuronForward<A>& layer, std::int64_t spikes) {
  const NeuronParameters& neuron = pass.neuron(layer.site);
  SiteCount& count = pass.spike_counts[static_cast<std::size_t>(layer.site)];
  const bool sends_one = neuron.thresholds().most() == 1 || spikes == 0;
  const std::int64_t active =
      sends_one ? spikes : count_nonzero(pass.with_channels(layer.neurons).size(), layer.spikes);
  count.active += active;
  count.events += neuron.thresholds().has_dead_zone() ? active : spikes;
}

}  // namespace

template <class A>
void neurons_forward(const Pass<A>& pass, const NeuronForward<A>& layer) {
  SpikeScanForward<A> scan;
  scan.current = layer.current;
  scan.gain = layer.gain;
  scan.learned = learned_of(pass, layer.site);
  scan.spikes = layer.spikes;
  scan.distance = layer.kept.distance;
  scan.kept = layer.kept.more;
  if (pass.state_in != nullptr) scan.membrane_in = pass.state_in->membrane(layer.site);
  if (pass.state_out != nullptr) scan.membrane_out = pass.state_out->membrane(layer.site);
  const SequenceShape shape = pass.with_channels(layer.neurons);
  const std::int64_t count = spike_scan_forward(shape, neuron_of(pass, layer.site, layer.rectified), pass.fire, scan);
  if (!pass.spike_counts.empty()) add_count(pass, layer, count);
  if (pass.probe == nullptr) return;
  pass.probe->on_spikes({layer.site, shape.batch, shape.tokens, layer.neurons, kDTypeOf<A>, layer.current, layer.spikes,
                         layer.kept.distance, layer.kept.more});
}

template <class A>
void remake_neurons(const Pass<A>& pass, const NeuronForward<A>& layer) {
  spikes_from_distance(pass.with_channels(layer.neurons).size(), neuron_of(pass, layer.site, layer.rectified),
                       pass.fire, layer.kept.distance, layer.spikes, layer.kept.more);
}

template <class A, class D>
void neurons_backward(const Pass<A>& pass, const NeuronBackward<A, D>& layer) {
  SpikeScanBackward<A, D> scan;
  scan.distance = layer.kept.distance;
  scan.kept = layer.kept.more;
  scan.d_spikes = layer.d_spikes;
  scan.current = layer.current;
  scan.gain = layer.gain;
  scan.d_current = layer.d_current;
  scan.d_gain = layer.d_gain;
  scan.learned = learned_of(pass, layer.site);
  if (scan.learned.values != nullptr) scan.d_learned = pass.d_learned[static_cast<std::size_t>(layer.site)];
  if (pass.state_in != nullptr) scan.membrane_in = pass.state_in->membrane(layer.site);
  if (!pass.activity_costs.empty()) scan.activity_cost = pass.activity_costs[static_cast<std::size_t>(layer.site)];
  scan.scratch = pass.scratch->sums;
  spike_scan_backward(pass.with_channels(layer.neurons), neuron_of(pass, layer.site, layer.rectified), pass.fire, scan);
}

template void neurons_forward(const Pass<float>&, const NeuronForward<float>&);
template void neurons_forward(const Pass<Bf16>&, const NeuronForward<Bf16>&);
template void remake_neurons(const Pass<float>&, const NeuronForward<float>&);
template void remake_neurons(const Pass<Bf16>&, const NeuronForward<Bf16>&);
template void neurons_backward(const Pass<float>&, const NeuronBackward<float, float>&);
template void neurons_backward(const Pass<Bf16>&, const NeuronBackward<Bf16, Bf16>&);
template void neurons_backward(const Pass<Bf16>&, const NeuronBackward<Bf16, float>&);

}  // namespace spikegpt
