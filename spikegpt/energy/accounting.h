// Operations counted while a model runs, and the three ways to account for them (SPEC.md 11).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "spikegpt/core/probe.h"
#include "spikegpt/energy/prices.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt {

// What some inputs did over a text.
struct InputCount {
  std::int64_t active = 0;       // times one of them was not zero
  std::int64_t events = 0;       // spikes: repeated and negative ones each; of payloads one, whatever their size
  std::int64_t larger = 0;       // times one of them was neither zero nor 1 or -1
  std::int64_t last_active = 0;  // the same in the last token
  std::int64_t last_events = 0;
  std::int64_t last_larger = 0;
};

// Watches passes of one sequence, chunk by chunk.
class ActivityCounter final : public Probe {
 public:
  explicit ActivityCounter(const ModelConfig& config);
  void on_spikes(const SpikeRecord& record) override;
  void on_hidden(const HiddenRecord& record) override;

  const InputCount& site(int index) const { return sites_.at(static_cast<std::size_t>(index)); }
  // Whether a site's events carry a number to multiply with (payload_steps).
  bool sends_payloads(int site) const {
    return neurons_.at(static_cast<std::size_t>(site)).thresholds().has_dead_zone();
  }
  // By HiddenRecord::index.
  const InputCount& hidden(int index) const { return hidden_.at(static_cast<std::size_t>(index)); }

 private:
  std::vector<NeuronParameters> neurons_;  // of every site
  std::vector<InputCount> sites_;
  std::vector<InputCount> hidden_;
};

// How the products are paid for.
enum class Accounting : std::uint8_t {
  kTwin,    // (a) the non-spiking twin: every product a multiply-accumulate
  kPaper,   // (b) the paper's: rate * accumulate, as if every input were spikes
  kNeeded,  // (c) what the network needs: an accumulate per spike, a multiply-accumulate per payload and per non-zero
            // of a graded input, all elsewhere
};

struct Cost {
  Operations products;
  Operations elementwise;    // none in (b), which leaves it out
  std::int64_t weights = 0;  // touched, token by token
  Cost& operator+=(const Cost& other);
};

// [J] of products and element-wise work together, and of fetching the weights, as float32, from off the chip.
double energy(const Cost& cost, const PriceTable& prices);
double weight_traffic(const Cost& cost, const PriceTable& prices);

// Over a text, by the definitions of NeuroBench (Yik et al. 2025): an input of 1 or -1 is added, any other that is not
// zero is multiplied, so that several spikes in one token count as a multiplication.
struct NeuroBenchFigures {
  std::int64_t dense = 0;  // synaptic operations if nothing were zero
  std::int64_t effective_macs = 0;
  std::int64_t effective_accumulates = 0;
  std::int64_t membrane_updates = 0;
  double activation_sparsity = 0.0;  // share of neurons that send nothing, mean over tokens
};

class EnergyAccount {
 public:
  // Runs the model over the text as one sequence with carried memory. `parameters` as in ParameterLayout. `progress`
  // gets the tokens done; may be empty. Throws Error (kInvalidArgument) for tokens outside the vocabulary.
  EnergyAccount(const ModelConfig& config, const float* parameters, std::span<const std::int32_t> tokens,
                const std::function<void(std::int64_t)>& progress = {});

  const ModelConfig& config() const noexcept { return config_; }
  // Where its neurons are, as firing_rate(site) counts them.
  const std::vector<SpikeSite>& sites() const noexcept { return form_.sites; }
  std::int64_t tokens() const noexcept { return tokens_; }
  const std::vector<Product>& products() const noexcept { return form_.products; }
  // Of the whole text.
  Cost cost(Accounting accounting, const Product& product) const;
  Cost layer(Accounting accounting, int layer) const;
  Cost total(Accounting accounting) const;
  NeuroBenchFigures neurobench() const;
  // Events per neuron and token, at one site or in the mean.
  double firing_rate(int site) const;
  double firing_rate() const;
  // Inputs of a product that were not zero, over the whole text; in the twin, and where they are dense, all.
  double active_inputs(Accounting accounting, const Product& product) const;
  // Floats of memory read and written per token, of the network or of its twin.
  std::int64_t state_floats(Accounting accounting = Accounting::kNeeded) const;

 private:
  ModelConfig config_;
  NetworkForm form_;
  ActivityCounter counter_;
  std::int64_t tokens_ = 0;
};

}  // namespace spikegpt
