#include "spikegpt/train/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "spikegpt/model/network.h"
#include "spikegpt/model/spike_sites.h"

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

std::vector<GainedSite> gained_sites(const ModelConfig& config, ModelWeights& weights) {
  std::vector<GainedSite> sites;
  const std::int64_t C = config.n_embd;
  for (int layer = 0; layer < config.n_layer; ++layer) {
    BlockWeights& block = weights.blocks[static_cast<std::size_t>(layer)];
    const BlockSites at = block_sites(config, layer);
    if (block.ffn_pre.gain != nullptr) {
      sites.push_back({at.hidden1, block.ffn_pre.gain, config.hidden_size()});
    } else if (block.att.gain != nullptr) {
      sites.push_back({at.hidden1, block.att.gain, C});
    }
    sites.push_back({at.hidden2, block.ffn.gain, config.hidden_size()});
  }
  return sites;
}

}  // namespace

void calibrate_gains(const ModelConfig& config, std::span<const std::int32_t> tokens, float* parameters,
                     double current_std) {
  if (!config.is_event()) return;
  NetworkOptions options;
  options.plan.tokens = static_cast<std::int64_t>(tokens.size());
  const auto network = make_network(config, options);
  network->set_parameters(parameters);
  ModelWeights weights = bind_weights(config, parameters);
  for (const GainedSite& site : gained_sites(config, weights)) {
    CurrentProbe probe(site.site);
    RunOptions run;
    run.probe = &probe;
    network->forward({tokens}, run);
    if (probe.std() <= 0.0) continue;
    std::fill_n(site.gain, site.neurons, static_cast<float>(current_std / probe.std()));
  }
}

}  // namespace spikegpt
