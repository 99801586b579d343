#include "spikegpt/train/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "spikegpt/model/network.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt {
namespace {

// Standard deviation of the current of one site, over tokens and neurons.
class CurrentProbe final : public Probe {
 public:
  explicit CurrentProbe(int site) : site_(site) {}

  void on_spikes(const SpikeRecord& record) override {
    if (record.site != site_) return;
    const auto* current = static_cast<const float*>(record.current);
    const std::int64_t count = record.batch * record.tokens * record.neurons;
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = static_cast<double>(current[i]);
      sum += value;
      squares += value * value;
    }
    const double mean = sum / static_cast<double>(count);
    std_ = std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean * mean));
  }
  double std() const { return std_; }

 private:
  int site_;
  double std_ = 0.0;
};

struct GainedSite {
  int site;
  float* gain;
  std::int64_t neurons;
};

std::vector<GainedSite> gained_sites(const NetworkForm& form, const ModelWeights& weights) {
  std::vector<GainedSite> sites;
  for (std::size_t layer = 0; layer < form.blocks.size(); ++layer) {
    for (std::size_t half = 0; half < form.blocks[layer].halves.size(); ++half) {
      for (const int site : form.blocks[layer].halves[half].sites) {
        const SpikeSite& at = form.sites[static_cast<std::size_t>(site)];
        if (at.gain < 0) continue;
        const std::vector<float*>& parameters = weights.blocks[layer].halves[half].mixer;
        sites.push_back({site, parameters[static_cast<std::size_t>(at.gain)], at.neurons});
      }
    }
  }
  return sites;
}

}  // namespace

void calibrate_gains(const ModelConfig& config, std::span<const std::int32_t> tokens, float* parameters,
                     double current_std) {
  const ModelWeights weights = bind_weights(config, parameters);
  const std::vector<GainedSite> sites = gained_sites(network_form(config), weights);
  if (sites.empty()) return;
  NetworkOptions options;
  options.plan.tokens = static_cast<std::int64_t>(tokens.size());
  const auto network = make_network(config, options);
  network->set_parameters(parameters);
  for (const GainedSite& site : sites) {
    CurrentProbe probe(site.site);
    RunOptions run;
    run.probe = &probe;
    network->forward({tokens}, run);
    if (probe.std() <= 0.0) continue;
    std::fill_n(site.gain, site.neurons, static_cast<float>(current_std / probe.std()));
  }
}

}  // namespace spikegpt
