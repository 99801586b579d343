#include "spikegpt/model/spike_sites.h"

#include <fmt/format.h>

#include <algorithm>

namespace spikegpt {
namespace {

bool has_ffn_pre(const ModelConfig& config, int layer) { return layer == 0 && config.has_ffn_pre(); }

int sites_per_block(const ModelConfig& config) {
  if (config.is_event()) return 4;
  return config.is_spikegpt() ? 2 : 0;
}

void add_event_sites(const ModelConfig& config, int layer, std::vector<SpikeSite>& sites) {
  const std::int64_t C = config.n_embd;
  const bool pre = has_ffn_pre(config, layer);
  const char* first = pre ? "pre" : "att";
  sites.push_back({fmt::format("spikes.{}.{}_in", layer, first), layer, C});
  sites.push_back(
      {fmt::format("spikes.{}.{}", layer, pre ? "pre_hidden" : "att_out"), layer, pre ? config.hidden_size() : C});
  sites.push_back({fmt::format("spikes.{}.ffn_in", layer), layer, C});
  sites.push_back({fmt::format("spikes.{}.ffn_hidden", layer), layer, config.hidden_size()});
}

}  // namespace

std::vector<SpikeSite> spike_sites(const ModelConfig& config) {
  std::vector<SpikeSite> sites;
  for (int layer = 0; layer < config.n_layer; ++layer) {
    if (config.is_event()) add_event_sites(config, layer, sites);
    if (config.is_spikegpt()) {
      sites.push_back({fmt::format("spikes.{}.lif1", layer), layer, config.n_embd});
      sites.push_back({fmt::format("spikes.{}.lif2", layer), layer, config.n_embd});
    }
  }
  if (config.event_head) sites.push_back({"spikes.head_in", config.n_layer, config.n_embd});
  for (SpikeSite& site : sites) site.place = site.name.substr(site.name.rfind('.') + 1);
  return sites;
}

std::vector<std::string> site_places(const ModelConfig& config) {
  std::vector<std::string> places;
  for (const SpikeSite& site : spike_sites(config)) {
    if (std::find(places.begin(), places.end(), site.place) == places.end()) places.push_back(site.place);
  }
  return places;
}

std::vector<NeuronParameters> site_neurons(const ModelConfig& config) {
  std::vector<NeuronParameters> neurons;
  for (const SpikeSite& site : spike_sites(config)) neurons.push_back(neuron_parameters(config, site.place));
  return neurons;
}

BlockSites block_sites(const ModelConfig& config, int layer) {
  const int first = layer * sites_per_block(config);
  BlockSites sites;
  if (config.is_event()) {
    sites.input1 = first;
    sites.hidden1 = first + 1;
    sites.input2 = first + 2;
    sites.hidden2 = first + 3;
  } else if (config.is_spikegpt()) {
    sites.output1 = first;
    sites.output2 = first + 1;
  }
  return sites;
}

int head_site(const ModelConfig& config) { return config.event_head ? config.n_layer * sites_per_block(config) : -1; }

}  // namespace spikegpt
