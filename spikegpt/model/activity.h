// How much the neurons of a model fire, and what that costs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "spikegpt/model/architecture.h"

namespace spikegpt {

// What the neurons of a site sent.
struct SiteCount {
  std::int64_t events = 0;  // unit spikes, negative ones included; a payload is one event, whatever its size
  std::int64_t active = 0;  // (token, neuron) pairs that sent anything
};

// Means per token.
struct Densities {
  double firing_rate = 0.0;  // events per neuron
  // Over all multiply-adds of the blocks, 13 C^2 L for the architectures of SPEC.md:
  double synops = 0.0;       // synaptic operations: events times the outputs they are added to
  double active_rows = 0.0;  // rows of weights that are fetched: active neurons times outputs. Memory traffic follows
};

class Activity {
 public:
  explicit Activity(const ModelConfig& config);

  // One per site, for RunOptions.
  std::span<SiteCount> counts() noexcept { return counts_; }
  std::span<const SiteCount> counts() const noexcept { return counts_; }
  void reset() { counts_.assign(counts_.size(), {}); }
  std::int64_t neurons() const noexcept { return neurons_; }
  // Of all sites; 0 without neurons, and where nothing reads spikes. The head's products do not count.
  Densities densities(std::int64_t tokens) const;
  // Of one site, which is its share of the whole.
  Densities densities(std::size_t site, std::int64_t tokens) const;
  // Every one of them.
  std::vector<Densities> by_site(std::int64_t tokens) const;
  // What an event of a site adds to densities().firing_rate and .synops, times the number of tokens.
  Densities of_one_event(std::size_t site) const;

 private:
  std::vector<SpikeSite> sites_;
  std::vector<SiteCount> counts_;
  std::int64_t neurons_ = 0;
  double dense_ = 0.0;  // multiply-adds per token
};

}  // namespace spikegpt
