// How much the neurons of a model fire.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "spikegpt/model/architecture.h"

namespace spikegpt {

class Activity {
 public:
  explicit Activity(const ModelConfig& config) : counts_(spike_sites(config).size()) {
    for (const SpikeSite& site : spike_sites(config)) {
      neurons_ += site.neurons;
      site_neurons_.push_back(site.neurons);
    }
  }

  // Spikes per site, for RunOptions.
  std::span<std::int64_t> counts() noexcept { return counts_; }
  void reset() { counts_.assign(counts_.size(), 0); }
  std::int64_t neurons() const noexcept { return neurons_; }
  // Mean share of neurons that fired per token; 0 without neurons.
  double firing_rate(std::int64_t tokens) const {
    if (neurons_ == 0 || tokens == 0) return 0.0;
    const auto spikes = std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
    return static_cast<double>(spikes) / (static_cast<double>(neurons_) * static_cast<double>(tokens));
  }
  // The same for every site.
  std::vector<double> site_rates(std::int64_t tokens) const {
    std::vector<double> rates(counts_.size());
    for (std::size_t i = 0; i < rates.size() && tokens > 0; ++i) {
      rates[i] =
          static_cast<double>(counts_[i]) / (static_cast<double>(site_neurons_[i]) * static_cast<double>(tokens));
    }
    return rates;
  }

 private:
  std::vector<std::int64_t> counts_;
  std::vector<std::int64_t> site_neurons_;
  std::int64_t neurons_ = 0;
};

}  // namespace spikegpt
