#include "spikegpt/model/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>

#include "spikegpt/core/error.h"
#include "spikegpt/model/mixer.h"

namespace spikegpt {
namespace {

// The form that docs/event.md found best: graded events from the neurons behind norms.
void set_event_defaults(ModelConfig& config) {
  config.token_shift = "after";
  config.payload_steps = 4;
  config.payload_places = {"att_in", "pre_in", "ffn_in"};
  config.v_reset.reset();
  config.spike_levels = 8;
  config.signed_spikes = true;
  config.squared_current = true;
  config.alpha = 1.0;
  config.binary_embedding = false;
}

// The row of the same architecture whose block 0 has a channel mix in the place of the time mix.
Architecture with_ffn_pre(Architecture row, const HalfRow& pre) {
  row.model_type = "RWKV-ffnPre";
  row.first_block = row.block;
  row.first_block[0] = pre;
  return row;
}

std::deque<Architecture> make_table() {
  const HalfRow attention = {.mixer = &time_mix(), .norm = "ln1", .weights = "att", .state = "att"};
  const HalfRow feed_forward = {.mixer = &channel_mix(), .norm = "ln2", .weights = "ffn", .state = "ffn"};
  const HalfRow pre = {.mixer = &channel_mix(), .norm = "ln1", .weights = "ffnPre", .state = "att"};

  const Architecture spikegpt = {
      .arch = "spikegpt",
      .about = "neurons behind each half of a block, as published",
      .block = {attention.sending("lif1"), feed_forward.sending("lif2")},
  };
  const Architecture rwkv = {
      .arch = "rwkv",
      .about = "no neurons",
      .block = {attention, feed_forward},
      .binary_embedding = false,
  };
  const Architecture event = {
      .arch = "event",
      .about = "every product reads spikes",
      .block = {attention.firing("att_in", "att_out"), feed_forward.firing("ffn_in", "ffn_hidden")},
      .head = "head_in",
      .set_defaults = set_event_defaults,
  };
  return {spikegpt, with_ffn_pre(spikegpt, pre.sending("lif1")),
          rwkv,     with_ffn_pre(rwkv, pre),
          event,    with_ffn_pre(event, pre.firing("pre_in", "pre_hidden"))};
}

// A deque: rows stay where they are when one is added.
std::deque<Architecture>& table() {
  static std::deque<Architecture> rows = make_table();
  return rows;
}

// Each of `names` once, in their order.
std::string each_once(const std::deque<Architecture>& rows, std::string Architecture::*member) {
  std::vector<std::string> names;
  for (const Architecture& row : rows) {
    if (std::ranges::find(names, row.*member) == names.end()) names.push_back(row.*member);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

bool holds(const Architecture& row, bool (*property)(const HalfRow&)) {
  return std::ranges::all_of(row.block, property) && std::ranges::all_of(row.first_block, property);
}

std::string without_suffix(const std::string& name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

// "key", or "key_value_receptance" of joined matrices.
std::string name_of(const PartForm& part, const ProductForm& product) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < product.joined; ++i) {
    names.push_back(without_suffix(part.parameters[product.weight + i].name, ".weight"));
  }
  return fmt::format("{}", fmt::join(names, "_"));
}

class FormBuilder {
 public:
  explicit FormBuilder(const ModelConfig& config) : config_(config), row_(architecture_of(config)) {}

  NetworkForm build() {
    form_.architecture = &row_;
    for (int layer = 0; layer < config_.n_layer; ++layer) {
      BlockForm block;
      for (const HalfRow& row : row_.halves(layer)) block.halves.push_back(half(layer, row, block.halves.size()));
      form_.blocks.push_back(std::move(block));
    }
    if (config_.event_head) form_.head_site = add_site(config_.n_layer, row_.head);
    head();
    return std::move(form_);
  }

 private:
  int add_site(int layer, const NeuronForm& neurons) {
    const std::string name = layer == config_.n_layer ? fmt::format("spikes.{}", neurons.place)
                                                      : fmt::format("spikes.{}.{}", layer, neurons.place);
    form_.sites.push_back({name, layer, neurons.neurons, neurons.place, 0, neurons.gain});
    return static_cast<int>(form_.sites.size()) - 1;
  }
  int add_site(int layer, const char* place) {
    return place == nullptr ? -1 : add_site(layer, NeuronForm{.place = place, .neurons = config_.n_embd});
  }

  HalfForm half(int layer, const HalfRow& row, std::size_t index) {
    HalfForm half;
    half.row = row;
    half.layer = layer;
    half.norm = fmt::format("blocks.{}.{}", layer, row.norm);
    half.name = fmt::format("blocks.{}.{}", layer, row.weights);
    half.mixer = row.mixer->form({config_, row.state, row.input != nullptr, row.hidden});
    half.input_site = add_site(layer, row.input);
    for (const NeuronForm& neurons : half.mixer.neurons) half.sites.push_back(add_site(layer, neurons));
    half.output_site = add_site(layer, row.output);
    half.first_product = form_.products.size();
    for (const ProductForm& product : half.mixer.products) add_product(half, index, product);
    return half;
  }

  void add_product(HalfForm& half, std::size_t index, const ProductForm& form) {
    Product product;
    product.name = half.name + "." + name_of(half.mixer, form);
    product.layer = half.layer;
    product.half = index;
    product.outputs = half.mixer.outputs(form);
    product.inputs = half.mixer.inputs(form);
    product.token_shift = form.token_shift;
    product.weight = static_cast<int>(form.weight);
    product.is_last = form.is_last;
    switch (form.reads) {
      case ProductForm::Reads::kInput:
        product.site = half.input_site;
        if (product.site >= 0) {
          product.kind = form.token_shift < 0 ? InputKind::kSpikes : InputKind::kShiftedSpikes;
        }
        break;
      case ProductForm::Reads::kSpikes:
        product.site = half.sites[form.from];
        product.kind = InputKind::kSpikes;
        break;
      case ProductForm::Reads::kSquares:
        product.sparse = half.sparse = form_.sparse_inputs++;
        product.kind = InputKind::kSparse;
        break;
      case ProductForm::Reads::kDense: break;
    }
    // The paper takes every input for spikes: of the neurons in front where there are any, else of those behind.
    product.paper_site = product.site >= 0 ? product.site : half.output_site;
    add(std::move(product));
  }

  void head() {
    Product product;
    product.name = "head";
    product.layer = config_.n_layer;
    product.inputs = config_.n_embd;
    product.outputs = config_.vocab_size;
    product.site = product.paper_site = form_.head_site;
    if (product.site >= 0) product.kind = InputKind::kSpikes;
    add(std::move(product));
  }

  void add(Product product) {
    if (product.site >= 0) {
      const int times = product.kind == InputKind::kShiftedSpikes ? 2 : 1;
      form_.sites[static_cast<std::size_t>(product.site)].fan_out += times * product.outputs;
    }
    form_.products.push_back(std::move(product));
  }

  const ModelConfig& config_;
  const Architecture& row_;
  NetworkForm form_;
};

}  // namespace

HalfRow HalfRow::firing(const char* at_input, const char* within) const {
  HalfRow row = *this;
  row.input = at_input;
  row.hidden = within;
  return row;
}

HalfRow HalfRow::sending(const char* at_output) const {
  HalfRow row = *this;
  row.output = at_output;
  return row;
}

bool Architecture::reads_spikes() const {
  return holds(*this, [](const HalfRow& half) { return half.input != nullptr; });
}

bool Architecture::only_adds_spikes() const {
  return holds(*this, [](const HalfRow& half) { return half.output != nullptr && half.input == nullptr; });
}

const Architecture& architecture_of(std::string_view arch, std::string_view model_type) {
  bool is_known = false;
  for (const Architecture& row : table()) {
    if (row.arch == arch && row.model_type == model_type) return row;
    is_known |= row.arch == arch;
  }
  check_setting(is_known, "arch", fmt::format("\"{}\"", arch), "one of " + arch_names());
  check_setting(false, "model_type", fmt::format("\"{}\"", model_type),
                "one of " + each_once(table(), &Architecture::model_type));
  throw Bug("a row of the table");
}

const Architecture& architecture_of(const ModelConfig& config) {
  return architecture_of(config.arch, config.model_type);
}

std::string arch_names() { return each_once(table(), &Architecture::arch); }

void add_architecture(const Architecture& row) {
  for (const Architecture& other : table()) {
    check_setting(other.arch != row.arch || other.model_type != row.model_type, "arch", "\"" + row.arch + "\"",
                  "a name that is not taken");
  }
  table().push_back(row);
}

NetworkForm network_form(const ModelConfig& config) { return FormBuilder(config).build(); }

std::vector<SpikeSite> spike_sites(const ModelConfig& config) { return network_form(config).sites; }

std::vector<std::string> arch_places(ModelConfig config) {
  config.n_layer = 2;
  config.event_head = architecture_of(config).head != nullptr;
  std::vector<std::string> places;
  for (const Architecture& row : table()) {
    if (row.arch != config.arch) continue;
    config.model_type = row.model_type;
    for (const std::string& place : site_places(config)) {
      if (std::ranges::find(places, place) == places.end()) places.push_back(place);
    }
  }
  return places;
}

std::vector<std::string> site_places(const ModelConfig& config) {
  ModelConfig small = config;  // a block of each form
  small.n_layer = std::min(config.n_layer, 2);
  small.n_embd = small.vocab_size = 1;
  std::vector<std::string> places;
  for (const SpikeSite& site : network_form(small).sites) {
    if (std::ranges::find(places, site.place) == places.end()) places.push_back(site.place);
  }
  return places;
}

std::vector<NeuronParameters> site_neurons(const ModelConfig& config) {
  std::vector<NeuronParameters> neurons;
  for (const SpikeSite& site : spike_sites(config)) neurons.push_back(neuron_parameters(config, site.place));
  return neurons;
}

}  // namespace spikegpt
