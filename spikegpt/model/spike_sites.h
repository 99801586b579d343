// The places in a model where neurons fire, in the order in which a forward pass reaches them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/model/config.h"

namespace spikegpt {

struct SpikeSite {
  std::string name;  // "spikes.0.lif1", as traces and reports spell it
  int layer = 0;     // n_layer for the head's
  std::int64_t neurons = 0;
  std::string place = {};  // "lif1": what places of its kind are called in a configuration
};

// The sites of one block, as indices into spike_sites(); -1 where the block has no such neurons.
struct BlockSites {
  int input1 = -1;   // event: between LN1 and the projections
  int hidden1 = -1;  // event: in front of the output (or value) projection
  int output1 = -1;  // spikegpt: LIF1
  int input2 = -1;   // the same three of the channel mix
  int hidden2 = -1;
  int output2 = -1;
};

std::vector<SpikeSite> spike_sites(const ModelConfig& config);
// The places of those sites, each once: `spikegpt` has lif1 and lif2; `event` att_in, att_out, ffn_in, ffn_hidden, with
// ffnPre pre_in and pre_hidden, with event_head head_in.
std::vector<std::string> site_places(const ModelConfig& config);
// The neurons of every site.
std::vector<NeuronParameters> site_neurons(const ModelConfig& config);
BlockSites block_sites(const ModelConfig& config, int layer);
// The site in front of the head, or -1.
int head_site(const ModelConfig& config);

}  // namespace spikegpt
