#include "spikegpt/energy/products.h"

#include <fmt/format.h>

#include "spikegpt/model/spike_sites.h"

namespace spikegpt {
namespace {

class Lister {
 public:
  explicit Lister(const ModelConfig& config) : config_(config), C_(config.n_embd), H_(config.hidden_size()) {}

  std::vector<Product> list() {
    for (int layer = 0; layer < config_.n_layer; ++layer) {
      const BlockSites sites = block_sites(config_, layer);
      const bool pre = layer == 0 && config_.has_ffn_pre();
      if (pre) {
        channel_mix(layer, "ffnPre", {sites.input1, sites.hidden1, sites.output1}, 2 * layer);
      } else {
        time_mix(layer, {sites.input1, sites.hidden1, sites.output1});
      }
      channel_mix(layer, "ffn", {sites.input2, sites.hidden2, sites.output2}, 2 * layer + 1);
    }
    const int site = head_site(config_);
    add("head", config_.n_layer, C_, config_.vocab_size, site < 0 ? InputKind::kDense : InputKind::kSpikes, site, site);
    return std::move(products_);
  }

 private:
  // -1 where a half has no such neurons.
  struct Half {
    int input;
    int hidden;
    int output;
  };

  void add(std::string name, int layer, std::int64_t inputs, std::int64_t outputs, InputKind kind, int site,
           int paper_site) {
    products_.push_back({std::move(name), layer, inputs, outputs, kind, site, -1, paper_site});
  }
  // The paper takes every input for spikes: of the neurons in front where there are any, else of those behind.
  static int paper_site(int site, const Half& half) { return site >= 0 ? site : half.output; }

  void projection(int layer, const std::string& name, std::int64_t outputs, const Half& half) {
    const InputKind kind = half.input < 0 ? InputKind::kDense : InputKind::kShiftedSpikes;
    add(fmt::format("blocks.{}.{}", layer, name), layer, C_, outputs, kind, half.input, paper_site(half.input, half));
  }
  void time_mix(int layer, const Half& half) {
    for (const char* name : {"att.receptance", "att.key", "att.value"}) projection(layer, name, C_, half);
    add(fmt::format("blocks.{}.att.output", layer), layer, C_, C_,
        half.hidden < 0 ? InputKind::kDense : InputKind::kSpikes, half.hidden, paper_site(half.hidden, half));
  }
  void channel_mix(int layer, const std::string& name, const Half& half, int hidden) {
    projection(layer, name + ".receptance", C_, half);
    projection(layer, name + ".key", H_, half);
    add(fmt::format("blocks.{}.{}.value", layer, name), layer, H_, C_,
        half.hidden < 0 ? InputKind::kSparse : InputKind::kSpikes, half.hidden, paper_site(half.hidden, half));
    products_.back().hidden = hidden;
  }

  const ModelConfig& config_;
  const std::int64_t C_;
  const std::int64_t H_;
  std::vector<Product> products_;
};

// Mean, variance, and (x - mean) * inverse_std * weight + bias.
Operations layer_norm(std::int64_t C) { return {.macs = 2 * C, .accumulates = 2 * C, .multiplies = C, .divisions = 1}; }

// previous + mu (x - previous)
Operations token_shift(std::int64_t C, std::int64_t mixes) { return {.macs = mixes * C, .accumulates = mixes * C}; }

Operations sigmoid(std::int64_t n) { return {.accumulates = n, .exponentials = n, .divisions = n}; }

// SPEC.md 4: two exponents, two maxima and four exponentials; numerator and denominator for output and state; the
// quotient.
Operations attention(std::int64_t C) {
  return {.macs = 4 * C, .accumulates = 8 * C, .multiplies = 2 * C, .exponentials = 4 * C, .divisions = C};
}

// Charge, compare, reset; a gain in front where there is one.
Operations neurons(const ModelConfig& config, const char* place, std::int64_t n, bool gain) {
  const NeuronParameters neuron = neuron_parameters(config, place);
  const NeuronOperations& one = info_of(neuron.kind).operations;
  const int taps = neuron.kind == NeuronKind::kSlidingPsn ? neuron.own.sliding.taps : 0;
  return {.macs = n * (one.macs + taps),
          .accumulates = n * one.additions,
          .multiplies = n * (one.multiplies + (gain ? 1 : 0)),
          .exponentials = n * one.exponentials,
          .divisions = n * one.divisions};
}

Operations multiply(std::int64_t n) { return {.multiplies = n}; }
Operations add(std::int64_t n) { return {.accumulates = n}; }
Operations squared_relu(std::int64_t n) { return {.accumulates = n, .multiplies = n}; }

}  // namespace

std::vector<Product> products_of(const ModelConfig& config) { return Lister(config).list(); }

Operations elementwise_of(const ModelConfig& config, int layer) {
  const std::int64_t C = config.n_embd;
  const std::int64_t H = config.hidden_size();
  const bool event = config.is_event();
  Operations sum;
  if (layer == config.n_layer) {
    sum += layer_norm(C);
    if (config.event_head) sum += neurons(config, "head_in", C, false);
    return sum;
  }
  if (layer == 0) {
    if (config.binary_embedding) sum += add(C);
    sum += layer_norm(C);
  }
  const bool pre = layer == 0 && config.has_ffn_pre();
  const auto channel_mix = [&](const char* place) {
    if (!event) sum += token_shift(C, 2);
    if (!event || config.squared_current) sum += squared_relu(H);
    if (event) sum += neurons(config, place, H, true);
    sum += sigmoid(C);
    sum += multiply(C);
  };
  for (int half = 0; half < 2; ++half) {
    sum += layer_norm(C);
    if (event) sum += neurons(config, half == 1 ? "ffn_in" : (pre ? "pre_in" : "att_in"), C, false);
    if (half == 1 || pre) {
      channel_mix(half == 1 ? "ffn_hidden" : "pre_hidden");
    } else {
      if (!event) sum += token_shift(C, 3);
      sum += attention(C);
      sum += sigmoid(C);
      sum += multiply(C);
      if (config.attention_norm) sum += layer_norm(C);
      if (event) sum += neurons(config, "att_out", C, !config.attention_norm);
    }
    if (config.is_spikegpt()) sum += neurons(config, half == 0 ? "lif1" : "lif2", C, false);
    sum += add(C);
  }
  return sum;
}

ModelConfig twin_of(const ModelConfig& config) { return default_config("rwkv", config); }

std::int64_t transformer_macs(const ModelConfig& config, std::int64_t context) {
  const std::int64_t C = config.n_embd;
  return config.n_layer * (12 * C * C + 2 * context * C) + std::int64_t{config.vocab_size} * C;
}

}  // namespace spikegpt
