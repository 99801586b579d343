#include "spikegpt/energy/elementwise.h"

#include "spikegpt/model/architecture.h"
#include "spikegpt/model/layer_operations.h"

namespace spikegpt {
namespace {

Operations neurons_at(const ModelConfig& config, const NetworkForm& form, int site) {
  if (site < 0) return {};
  const SpikeSite& at = form.sites[static_cast<std::size_t>(site)];
  return neuron_operations(neuron_parameters(config, at.place), at.neurons, at.gain >= 0);
}

}  // namespace

Operations elementwise_of(const ModelConfig& config, int layer) {
  const NetworkForm form = network_form(config);
  const std::int64_t C = config.n_embd;
  Operations sum;
  if (layer == config.n_layer) {
    sum += layer_norm_operations(C);
    sum += neurons_at(config, form, form.head_site);
    return sum;
  }
  if (layer == 0) {
    if (config.binary_embedding) sum += add_operations(C);
    sum += layer_norm_operations(C);
  }
  for (const HalfForm& half : form.blocks[static_cast<std::size_t>(layer)].halves) {
    sum += layer_norm_operations(C);
    sum += neurons_at(config, form, half.input_site);
    sum += half.mixer.operations;
    for (const int site : half.sites) sum += neurons_at(config, form, site);
    sum += neurons_at(config, form, half.output_site);
    sum += add_operations(C);
  }
  return sum;
}

ModelConfig twin_of(const ModelConfig& config) { return default_config("rwkv", config); }

std::int64_t transformer_macs(const ModelConfig& config, std::int64_t context) {
  const std::int64_t C = config.n_embd;
  return config.n_layer * (12 * C * C + 2 * context * C) + std::int64_t{config.vocab_size} * C;
}

}  // namespace spikegpt
