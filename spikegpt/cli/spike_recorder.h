// Every spike of a pass, for files and pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/core/probe.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/model/weight_file.h"
#include "spikegpt/plot/line_chart.h"
#include "spikegpt/plot/raster.h"

namespace spikegpt::cli {

// What one site sent.
struct SpikeTrain {
  SpikeSite site;
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::vector<std::int8_t> spikes;  // [B, T, neurons]
  std::vector<float> membrane;      // the same, charged: before the reset
  bool sends_payloads = false;      // each is one event, whatever its size
  double firing_rate() const;       // events per neuron and token
};

// Where such a neuron fires; `kept` (SpikeRecord) counts for kinds whose threshold moves.
float threshold_of(const NeuronParameters& neuron, float kept);

// Keeps every spike train and potential of float passes.
class SpikeRecorder final : public Probe {
 public:
  explicit SpikeRecorder(const ModelConfig& config);
  void on_spikes(const SpikeRecord& record) override;

  // In the order of a forward pass.
  const std::vector<SpikeTrain>& trains() const noexcept { return trains_; }
  double firing_rate() const;
  // "spikes.*" and "membrane.*" of every site; the recorder must outlive them.
  void add_views(std::vector<TensorView>& views) const;

 private:
  std::vector<SpikeSite> sites_;
  std::vector<NeuronParameters> neurons_;  // of every site
  DType dtype_;
  std::vector<SpikeTrain> trains_;
};

// What of a pass a raster shows; empty = all.
struct RasterSelection {
  std::vector<int> layers;
  std::string site;     // the end of a site's name: "lif1"
  std::string neurons;  // "0:256"
};

// Throws Error (kInvalidArgument) for a layer, site or range that the model does not have; says which it has.
Raster make_raster(const ModelConfig& config, const SpikeRecorder& recorder, const RasterSelection& selection);

// Firing rate by layer, a curve for every kind of site.
LineChart make_profile(const ModelConfig& config, const SpikeRecorder& recorder);

}  // namespace spikegpt::cli
