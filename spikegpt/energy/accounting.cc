#include "spikegpt/energy/accounting.h"

#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/energy/elementwise.h"
#include "spikegpt/energy/text_pass.h"
#include "spikegpt/model/recurrent_state.h"

namespace spikegpt {
namespace {

enum class EventKind : std::uint8_t {
  kSpikes,    // an event for each
  kPayloads,  // one event whatever the number that goes with it
  kOthers,    // no events
};

// Adds what [tokens, neurons] values did.
void count(const float* values, std::int64_t tokens, std::int64_t neurons, EventKind kind, InputCount& count) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    count.last_active = count.last_events = count.last_larger = 0;
    for (std::int64_t i = 0; i < neurons; ++i) {
      const float value = values[t * neurons + i];
      count.last_active += value != 0.0f;
      count.last_larger += value != 0.0f && std::fabs(value) != 1.0f;
      if (kind == EventKind::kSpikes) count.last_events += std::llround(std::fabs(value));
      if (kind == EventKind::kPayloads) count.last_events += value != 0.0f;
    }
    count.active += count.last_active;
    count.events += count.last_events;
    count.larger += count.last_larger;
  }
}

const float* floats_of(DType dtype, std::int64_t batch, const void* values) {
  ensure(dtype == DType::kF32 && batch == 1, "counted are float passes of one sequence");
  return static_cast<const float*>(values);
}

}  // namespace

ActivityCounter::ActivityCounter(const ModelConfig& config)
    : neurons_(site_neurons(config)),
      sites_(neurons_.size()),
      hidden_(static_cast<std::size_t>(network_form(config).sparse_inputs)) {}

void ActivityCounter::on_spikes(const SpikeRecord& record) {
  const auto site = static_cast<std::size_t>(record.site);
  count(floats_of(record.dtype, record.batch, record.spikes), record.tokens, record.neurons,
        sends_payloads(record.site) ? EventKind::kPayloads : EventKind::kSpikes, sites_.at(site));
}

void ActivityCounter::on_hidden(const HiddenRecord& record) {
  count(floats_of(record.dtype, record.batch, record.values), record.tokens, record.neurons, EventKind::kOthers,
        hidden_.at(static_cast<std::size_t>(record.index)));
}

Cost& Cost::operator+=(const Cost& other) {
  products += other.products;
  elementwise += other.elementwise;
  weights += other.weights;
  return *this;
}

double energy(const Cost& cost, const PriceTable& prices) {
  return energy(cost.products, prices) + energy(cost.elementwise, prices);
}

double weight_traffic(const Cost& cost, const PriceTable& prices) {
  return 1e-12 * static_cast<double>(sizeof(float)) * static_cast<double>(cost.weights) * prices.byte;
}

EnergyAccount::EnergyAccount(const ModelConfig& config, const float* parameters, std::span<const std::int32_t> tokens,
                             const std::function<void(std::int64_t)>& progress)
    : config_(config), form_(network_form(config)), counter_(config), tokens_(std::ssize(tokens)) {
  watch_text(config, parameters, tokens, counter_, {.progress = progress});
}

double EnergyAccount::firing_rate(int site) const {
  const std::int64_t neurons = form_.sites.at(static_cast<std::size_t>(site)).neurons;
  return static_cast<double>(counter_.site(site).events) / static_cast<double>(neurons * tokens_);
}

double EnergyAccount::firing_rate() const {
  double events = 0.0;
  double neurons = 0.0;
  for (std::size_t i = 0; i < form_.sites.size(); ++i) {
    events += static_cast<double>(counter_.site(static_cast<int>(i)).events);
    neurons += static_cast<double>(form_.sites[i].neurons);
  }
  return form_.sites.empty() ? 0.0 : events / (neurons * static_cast<double>(tokens_));
}

Cost EnergyAccount::cost(Accounting accounting, const Product& p) const {
  const std::int64_t all = tokens_ * p.inputs * p.outputs;
  Cost cost;
  cost.weights = all;
  if (accounting == Accounting::kTwin || (accounting == Accounting::kPaper && form_.sites.empty())) {
    cost.products.macs = all;
    return cost;
  }
  if (accounting == Accounting::kPaper) {
    const double rate = p.paper_site < 0 ? firing_rate() : firing_rate(p.paper_site);
    cost.products.accumulates = std::llround(rate * static_cast<double>(all));
    return cost;
  }
  // Spikes are added; a payload is multiplied with the weights first.
  const auto operations_of = [&](const Product& product) -> std::int64_t& {
    return counter_.sends_payloads(product.site) ? cost.products.macs : cost.products.accumulates;
  };
  switch (p.kind) {
    case InputKind::kDense: cost.products.macs = all; return cost;
    case InputKind::kSparse:
      cost.weights = counter_.hidden(p.sparse).active * p.outputs;
      cost.products.macs = cost.weights;
      return cost;
    case InputKind::kSpikes:
      cost.weights = counter_.site(p.site).active * p.outputs;
      operations_of(p) = counter_.site(p.site).events * p.outputs;
      return cost;
    case InputKind::kShiftedSpikes: {
      // Every token but the last is the one before another.
      const InputCount& input = counter_.site(p.site);
      cost.weights = (2 * input.active - input.last_active) * p.outputs;
      operations_of(p) = (2 * input.events - input.last_events) * p.outputs;
      return cost;
    }
  }
  throw Bug("a kind of input");
}

Cost EnergyAccount::layer(Accounting accounting, int layer) const {
  Cost sum;
  for (const Product& product : form_.products) {
    if (product.layer == layer) sum += cost(accounting, product);
  }
  if (accounting == Accounting::kTwin) sum.elementwise = tokens_ * elementwise_of(twin_of(config_), layer);
  if (accounting == Accounting::kNeeded) sum.elementwise = tokens_ * elementwise_of(config_, layer);
  return sum;
}

Cost EnergyAccount::total(Accounting accounting) const {
  Cost sum;
  for (int i = 0; i <= config_.n_layer; ++i) sum += layer(accounting, i);
  return sum;
}

NeuroBenchFigures EnergyAccount::neurobench() const {
  NeuroBenchFigures figures;
  for (const Product& p : form_.products) {
    const Cost needed = cost(Accounting::kNeeded, p);
    figures.dense += tokens_ * p.inputs * p.outputs;
    if (p.site < 0) {
      figures.effective_macs += needed.products.macs;
      continue;
    }
    const InputCount& input = counter_.site(p.site);
    const bool shifted = p.kind == InputKind::kShiftedSpikes;
    const std::int64_t larger = shifted ? 2 * input.larger - input.last_larger : input.larger;
    figures.effective_macs += larger * p.outputs;
    figures.effective_accumulates += needed.weights - larger * p.outputs;
  }
  std::int64_t active = 0;
  for (std::size_t i = 0; i < form_.sites.size(); ++i) {
    active += counter_.site(static_cast<int>(i)).active;
    figures.membrane_updates += tokens_ * form_.sites[i].neurons;
  }
  if (figures.membrane_updates == 0) return figures;
  figures.activation_sparsity = 1.0 - static_cast<double>(active) / static_cast<double>(figures.membrane_updates);
  return figures;
}

double EnergyAccount::active_inputs(Accounting accounting, const Product& p) const {
  return static_cast<double>(cost(accounting, p).weights) / static_cast<double>(p.outputs);
}

std::int64_t EnergyAccount::state_floats(Accounting accounting) const {
  std::int64_t floats = 0;
  RecurrentState(accounting == Accounting::kTwin ? twin_of(config_) : config_, 1)
      .visit([&](const std::string&, const float*, std::int64_t n) { floats += n; });
  return floats;
}

}  // namespace spikegpt
