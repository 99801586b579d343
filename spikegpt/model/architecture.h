// The networks there are, each a row of one table, and the form that a configuration gives one: every part with its
// parameters, states, neurons and products. All that walks over a network walks over that form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/model/config.h"
#include "spikegpt/model/part.h"

namespace spikegpt {

class Mixer;

// A half of a block: x + neurons(mixer(neurons(LN(x)))). Places are null where no neurons stand.
struct HalfRow {
  const Mixer* mixer = nullptr;
  const char* norm = "";         // "ln1"
  const char* weights = "";      // "att", as checkpoints spell it
  const char* state = "";        // "att", in the names of states
  const char* input = nullptr;   // neurons between norm and mixer: the mixer's products read spikes
  const char* hidden = nullptr;  // neurons within the mixer
  const char* output = nullptr;  // neurons between mixer and residual sum

  HalfRow firing(const char* at_input, const char* within) const;
  HalfRow sending(const char* at_output) const;
};

// A row of the table.
struct Architecture {
  std::string arch;  // with model_type its name in config.json
  std::string model_type = "RWKV";
  std::string about = {};
  std::vector<HalfRow> block = {};
  std::vector<HalfRow> first_block = {};  // block 0; empty = as the others
  const char* head = nullptr;             // the place of neurons that event_head puts in front of the head; null = none
  void (*set_defaults)(ModelConfig& config) = nullptr;  // of a new model; null = as files of the first version
  bool binary_embedding = true;                         // in files that do not say

  const std::vector<HalfRow>& halves(int layer) const {
    return layer == 0 && !first_block.empty() ? first_block : block;
  }
  // Whether every product of the blocks reads spikes.
  bool reads_spikes() const;
  // Whether the residual stream gains spikes and nothing else.
  bool only_adds_spikes() const;
};

// The row of config.arch and config.model_type. Throws Error (kInvalidArgument) that lists the names.
const Architecture& architecture_of(const ModelConfig& config);
const Architecture& architecture_of(std::string_view arch, std::string_view model_type = "RWKV");
// "spikegpt, rwkv, event"
std::string arch_names();
// Another row, for experiments: before any thread asks for one. Throws Error (kInvalidArgument) if there is one of that
// name.
void add_architecture(const Architecture& row);

// Where neurons fire.
struct SpikeSite {
  std::string name;  // "spikes.0.lif1", as traces and reports spell it
  int layer = 0;     // n_layer for the head's
  std::int64_t neurons = 0;
  std::string place = {};    // "lif1": what places of its kind are called in a configuration
  std::int64_t fan_out = 0;  // outputs of products that an event is added to; twice where the token shift is folded in
  int gain = -1;             // index of a parameter of its half, or -1
};

// What a product reads.
enum class InputKind : std::uint8_t {
  kDense,
  kSpikes,         // one token's events
  kShiftedSpikes,  // those of this token and of the one before: the token shift is folded into the weights
  kSparse,         // relu(k)^2: multiplied where it is not zero
};

// A matrix product of the network.
struct Product {
  std::string name;  // as the weight is called, without ".weight"; joined ones by all their names
  int layer = 0;     // n_layer for the head
  std::size_t half = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  InputKind kind = InputKind::kDense;
  int site = -1;         // spikes: index of the site that it reads
  int sparse = -1;       // kSparse: HiddenRecord::index
  int paper_site = -1;   // whose rate the paper's accounting takes; -1 = the mean of all
  int weight = -1;       // index of the (first) parameter in its half; -1 for the head
  int token_shift = -1;  // index of the parameter that mixes its inputs first; -1 = none
  bool is_last = false;  // ProductForm::is_last
};

struct HalfForm {
  HalfRow row;
  int layer = 0;
  std::string norm;  // "blocks.3.ln1"
  std::string name;  // "blocks.3.att"
  PartForm mixer;
  int input_site = -1;     // indices of sites; -1 where there is none
  std::vector<int> sites;  // of the mixer's neurons
  int output_site = -1;
  int sparse = -1;                // HiddenRecord::index of what a product of it reads
  std::size_t first_product = 0;  // in NetworkForm::products
};

struct BlockForm {
  std::vector<HalfForm> halves;
};

struct NetworkForm {
  const Architecture* architecture = nullptr;
  std::vector<BlockForm> blocks;
  int head_site = -1;
  std::vector<SpikeSite> sites;   // in the order in which a forward pass reaches them
  std::vector<Product> products;  // likewise; the head is the last
  int sparse_inputs = 0;
};

// The whole network of a configuration, whose sizes must be in range.
NetworkForm network_form(const ModelConfig& config);

std::vector<SpikeSite> spike_sites(const ModelConfig& config);
// The places of those sites, each once. Asks for no valid sizes.
std::vector<std::string> site_places(const ModelConfig& config);
// All that its arch may have, whatever its layers, model_type and event_head.
std::vector<std::string> arch_places(ModelConfig config);
// The neurons of every site.
std::vector<NeuronParameters> site_neurons(const ModelConfig& config);

}  // namespace spikegpt
