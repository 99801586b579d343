#include "spikegpt/model/parameters.h"

#include <algorithm>
#include <numeric>

#include "spikegpt/core/error.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kFloatsPerLine = 16;

// A parameter on its way into the flat vector.
struct Listed {
  const std::string& name;
  const ParameterForm& form;
  int layer;
  float*& pointer;
};

// The one list of parameters: calls visitor(Listed) for each, in the order of the flat vector.
template <class Visitor>
class WeightLister {
 public:
  WeightLister(const ModelConfig& config, Visitor& visitor) : config_(config), visit_(visitor) {}

  void model(ModelWeights& weights) {
    const std::int64_t V = config_.vocab_size;
    const std::int64_t C = config_.n_embd;
    weights.blocks.resize(form_.blocks.size());
    parameter("", {"emb.weight", {V, C}, {.kind = Kind::kEmbedding}}, weights.embedding);
    for (std::size_t i = 0; i < weights.blocks.size(); ++i) {
      layer_ = static_cast<int>(i);
      block(form_.blocks[i], weights.blocks[i]);
    }
    layer_ = -1;
    layer_norm("ln_out", form_.head_site >= 0, weights.ln_out);
    parameter("", {"head.weight", {V, C}, {.scale = 0.5}}, weights.head);
    learned(weights.learned);
  }

 private:
  using Kind = FirstValues::Kind;

  void parameter(const std::string& prefix, const ParameterForm& form, float*& pointer) {
    if (form.shape.empty()) return;
    visit_(Listed{prefix + form.name, form, layer_, pointer});
  }
  void block(const BlockForm& form, BlockWeights& weights) {
    weights.halves.resize(form.halves.size());
    if (layer_ == 0) layer_norm("blocks.0.ln0", false, weights.ln0);
    for (std::size_t i = 0; i < form.halves.size(); ++i) {
      layer_norm(form.halves[i].norm, form.halves[i].input_site >= 0, weights.halves[i].norm);
    }
    for (std::size_t i = 0; i < form.halves.size(); ++i) {
      const std::vector<ParameterForm>& parameters = form.halves[i].mixer.parameters;
      std::vector<float*>& pointers = weights.halves[i].mixer;
      pointers.resize(parameters.size());
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        parameter(form.halves[i].name + ".", parameters[p], pointers[p]);
      }
    }
  }
  void learned(std::vector<float*>& values) {
    const std::vector<SpikeSite>& sites = form_.sites;
    values.resize(sites.size());
    for (std::size_t i = 0; i < sites.size(); ++i) {
      const NeuronParameters neuron = neuron_parameters(config_, sites[i].place);
      if (neuron.learned() == 0) continue;
      const std::int64_t count = neuron.learned() * (learns_per_layer(config_) ? 1 : sites[i].neurons);
      parameter(sites[i].name + ".", {info_of(neuron.kind).learned.front(), {count}, first_learned(neuron)}, values[i]);
    }
  }
  FirstValues first_learned(const NeuronParameters& neuron) const {
    FirstValues first = {.kind = Kind::kEach};
    for (int i = 0; i < neuron.learned(); ++i) first.values.push_back(neuron.first_learned(i, config_.tau));
    return first;
  }
  // A norm whose neurons spike into products starts them at a healthy rate.
  void layer_norm(const std::string& name, bool drives_neurons, LayerNormWeights& weights) {
    const std::int64_t C = config_.n_embd;
    const FirstValues one = {.kind = drives_neurons ? Kind::kGain : Kind::kConstant, .value = 1.0};
    parameter(name + ".", {"weight", {C}, one}, weights.weight);
    parameter(name + ".", {"bias", {C}, {.kind = Kind::kConstant}}, weights.bias);
  }

  const ModelConfig& config_;
  const NetworkForm form_ = network_form(config_);
  Visitor& visit_;
  int layer_ = -1;
};

template <class Visitor>
void visit_weights(const ModelConfig& config, ModelWeights& weights, Visitor visitor) {
  WeightLister<Visitor>(config, visitor).model(weights);
}

std::int64_t element_product(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

// Where the next parameter lies behind those before it.
class FlatEnd {
 public:
  std::int64_t place(const ParameterForm& form) {
    const std::int64_t first = form.is_joined ? end_ : padded();
    end_ = first + element_product(form.shape);
    return first;
  }
  std::int64_t padded() const { return (end_ + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine; }

 private:
  std::int64_t end_ = 0;
};

bool is_selected(const std::vector<std::int64_t>& shape, ParameterSelection selection) {
  return selection == ParameterSelection::kAll || shape.size() != 2;
}

}  // namespace

bool learns_per_layer(const ModelConfig& config) noexcept {
  return !config.learnable_tau && !config.learned_per_neuron;
}

ParameterLayout::ParameterLayout(const ModelConfig& config, ParameterSelection selection) {
  ModelWeights unused;
  FlatEnd end;
  visit_weights(config, unused, [&](const Listed& listed) {
    if (!is_selected(listed.form.shape, selection)) return;
    const std::int64_t size = element_product(listed.form.shape);
    infos_.push_back({listed.name, listed.form.shape, end.place(listed.form), size, listed.form.first, listed.layer});
    parameter_count_ += size;
  });
  flat_size_ = end.padded();
  by_name_.resize(infos_.size());
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return infos_[a].name < infos_[b].name; });
}

const ParameterInfo* ParameterLayout::find(std::string_view name) const noexcept {
  const auto found = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                      [&](std::size_t i, std::string_view wanted) { return infos_[i].name < wanted; });
  return found == by_name_.end() || infos_[*found].name != name ? nullptr : &infos_[*found];
}

ModelWeights bind_weights(const ModelConfig& config, float* flat, ParameterSelection selection) {
  ModelWeights weights;
  FlatEnd end;
  visit_weights(config, weights, [&](const Listed& listed) {
    if (is_selected(listed.form.shape, selection)) listed.pointer = flat + end.place(listed.form);
  });
  return weights;
}

}  // namespace spikegpt
