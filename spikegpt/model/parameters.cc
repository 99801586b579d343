#include "spikegpt/model/parameters.h"

#include <algorithm>
#include <numeric>

#include "spikegpt/core/error.h"
#include "spikegpt/model/spike_sites.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kFloatsPerLine = 16;

// The one list of parameters: calls visitor(name, shape, pointer) for each, in the order of the flat vector.
template <class Visitor>
class WeightLister {
 public:
  WeightLister(const ModelConfig& config, Visitor& visitor)
      : config_(config), C_(config.n_embd), H_(config.hidden_size()), visit_(visitor) {}

  void model(ModelWeights& weights) {
    const std::int64_t V = config_.vocab_size;
    weights.blocks.resize(static_cast<std::size_t>(config_.n_layer));
    visit_("emb.weight", {V, C_}, weights.embedding);
    for (std::size_t i = 0; i < weights.blocks.size(); ++i) block(i, weights.blocks[i]);
    layer_norm("ln_out", weights.ln_out);
    visit_("head.weight", {V, C_}, weights.head);
    learned(weights.learned);
  }

 private:
  void block(std::size_t index, BlockWeights& weights) {
    const std::string prefix = fmt::format("blocks.{}.", index);
    if (index == 0) layer_norm(prefix + "ln0", weights.ln0);
    layer_norm(prefix + "ln1", weights.ln1);
    layer_norm(prefix + "ln2", weights.ln2);
    if (index == 0 && config_.has_ffn_pre()) {
      channel_mix(prefix + "ffnPre.", weights.ffn_pre);
    } else {
      time_mix(prefix + "att.", weights.att);
    }
    channel_mix(prefix + "ffn.", weights.ffn);
  }
  void learned(std::vector<float*>& values) {
    const std::vector<SpikeSite> sites = spike_sites(config_);
    values.resize(sites.size());
    for (std::size_t i = 0; i < sites.size(); ++i) {
      const NeuronParameters neuron = neuron_parameters(config_, sites[i].place);
      if (neuron.learned() == 0) continue;
      const std::int64_t count = neuron.learned() * (learns_per_layer(config_) ? 1 : sites[i].neurons);
      visit_(sites[i].name + "." + info_of(neuron.kind).learned.front(), {count}, values[i]);
    }
  }
  void layer_norm(const std::string& name, LayerNormWeights& weights) {
    visit_(name + ".weight", {C_}, weights.weight);
    visit_(name + ".bias", {C_}, weights.bias);
  }
  void time_mix(const std::string& prefix, TimeMixWeights& weights) {
    visit_(prefix + "time_decay", {C_}, weights.time_decay);
    visit_(prefix + "time_first", {C_}, weights.time_first);
    visit_(prefix + "time_mix_k", {1, 1, C_}, weights.time_mix_k);
    visit_(prefix + "time_mix_v", {1, 1, C_}, weights.time_mix_v);
    visit_(prefix + "time_mix_r", {1, 1, C_}, weights.time_mix_r);
    visit_(prefix + "key.weight", {C_, C_}, weights.key);
    visit_(prefix + "value.weight", {C_, C_}, weights.value);
    visit_(prefix + "receptance.weight", {C_, C_}, weights.receptance);
    visit_(prefix + "output.weight", {C_, C_}, weights.output);
    if (config_.attention_norm) {
      layer_norm(prefix + "ln_out", weights.ln_out);
    } else if (config_.is_event()) {
      visit_(prefix + "gain", {C_}, weights.gain);
    }
  }
  void channel_mix(const std::string& prefix, ChannelMixWeights& weights) {
    visit_(prefix + "time_mix_k", {1, 1, C_}, weights.time_mix_k);
    visit_(prefix + "time_mix_r", {1, 1, C_}, weights.time_mix_r);
    visit_(prefix + "key.weight", {H_, C_}, weights.key);
    visit_(prefix + "receptance.weight", {C_, C_}, weights.receptance);
    visit_(prefix + "value.weight", {C_, H_}, weights.value);
    if (config_.is_event()) visit_(prefix + "gain", {H_}, weights.gain);
  }

  const ModelConfig& config_;
  const std::int64_t C_;
  const std::int64_t H_;
  Visitor& visit_;
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

std::int64_t padded(std::int64_t size) { return (size + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine; }

bool is_selected(const std::vector<std::int64_t>& shape, ParameterSelection selection) {
  return selection == ParameterSelection::kAll || shape.size() != 2;
}

}  // namespace

bool learns_per_layer(const ModelConfig& config) noexcept {
  return !config.learnable_tau && !config.learned_per_neuron;
}

ParameterLayout::ParameterLayout(const ModelConfig& config, ParameterSelection selection) {
  ModelWeights unused;
  visit_weights(config, unused, [&](const std::string& name, std::vector<std::int64_t> shape, float*&) {
    if (!is_selected(shape, selection)) return;
    const std::int64_t size = element_product(shape);
    infos_.push_back({name, std::move(shape), flat_size_, size});
    flat_size_ += padded(size);
    parameter_count_ += size;
  });
  by_name_.resize(infos_.size());
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return infos_[a].name < infos_[b].name; });
}

const ParameterInfo* ParameterLayout::find(std::string_view name) const noexcept {
  const auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](std::size_t i, std::string_view wanted) { return infos_[i].name < wanted; });
  return found == by_name_.end() || infos_[*found].name != name ? nullptr : &infos_[*found];
}

ModelWeights bind_weights(const ModelConfig& config, float* flat, ParameterSelection selection) {
  ModelWeights weights;
  std::int64_t offset = 0;
  visit_weights(config, weights, [&](const std::string&, const std::vector<std::int64_t>& shape, float*& pointer) {
    if (!is_selected(shape, selection)) return;
    pointer = flat + offset;
    offset += padded(element_product(shape));
  });
  return weights;
}

}  // namespace spikegpt
