#include "spikegpt/cli/spike_recorder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "spikegpt/core/error.h"

namespace spikegpt::cli {
namespace {

// "lif1" of "spikes.0.lif1".
std::string kind_of(const SpikeSite& site) { return site.name.substr(site.name.rfind('.') + 1); }

struct Range {
  std::int64_t first;
  std::int64_t end;
};
Range parse_range(const std::string& text) {
  const std::size_t colon = text.find(':');
  Range range = {0, 0};
  const auto number = [&](std::string_view part, std::int64_t& out) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc() && end == part.data() + part.size();
  };
  const std::string_view all(text);
  if (colon != std::string::npos && number(all.substr(0, colon), range.first) &&
      number(all.substr(colon + 1), range.end) && range.first >= 0 && range.first < range.end) {
    return range;
  }
  throw Error(ErrorKind::kInvalidArgument, "--neurons \"{}\": expected FIRST:END, such as 0:256", text);
}

void check_selection(const ModelConfig& config, const SpikeRecorder& recorder, const RasterSelection& selection) {
  for (const int layer : selection.layers) {
    if (layer >= 0 && layer < config.n_layer) continue;
    throw Error(ErrorKind::kInvalidArgument, "--layers {}: the model has layers 0 to {}", layer, config.n_layer - 1);
  }
  std::set<std::string> kinds;
  for (const SpikeTrain& train : recorder.trains()) kinds.insert(kind_of(train.site));
  if (selection.site.empty() || kinds.contains(selection.site)) return;
  throw Error(ErrorKind::kInvalidArgument, "--site {}: the model has {}", selection.site, fmt::join(kinds, ", "));
}

}  // namespace

double SpikeTrain::firing_rate() const {
  double events = 0.0;
  for (const std::int8_t spike : spikes) events += sends_payloads ? spike != 0 : std::abs(spike);
  return spikes.empty() ? 0.0 : events / static_cast<double>(spikes.size());
}

float threshold_of(const NeuronParameters& neuron, float kept) {
  float threshold = neuron.v_threshold;
  with_neuron(neuron, [&](const auto& formulas) { threshold = formulas.threshold(kept); });
  return threshold;
}

SpikeRecorder::SpikeRecorder(const ModelConfig& config)
    : sites_(spike_sites(config)),
      neurons_(site_neurons(config)),
      dtype_(lif_parameters(config).thresholds().is_graded() ? DType::kI8 : DType::kU8) {}

void SpikeRecorder::on_spikes(const SpikeRecord& record) {
  ensure(record.dtype == DType::kF32, "a recorder of float passes");
  SpikeTrain train;
  train.site = sites_[static_cast<std::size_t>(record.site)];
  train.batch = record.batch;
  train.tokens = record.tokens;
  const auto count = static_cast<std::size_t>(record.batch * record.tokens * record.neurons);
  const auto* spikes = static_cast<const float*>(record.spikes);
  const auto* distance = static_cast<const float*>(record.distance);
  const auto* kept = static_cast<const float*>(record.kept);
  const NeuronParameters& neuron = neurons_[static_cast<std::size_t>(record.site)];
  const bool moves = neuron.moves_threshold();
  train.sends_payloads = neuron.thresholds().has_dead_zone();
  train.spikes.resize(count);
  train.membrane.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    train.spikes[i] = static_cast<std::int8_t>(spikes[i]);
    train.membrane[i] = distance[i] + (moves ? threshold_of(neuron, kept[i]) : neuron.v_threshold);
  }
  trains_.push_back(std::move(train));
}

double SpikeRecorder::firing_rate() const {
  double events = 0.0;
  double neurons = 0.0;
  for (const SpikeTrain& train : trains_) {
    events += train.firing_rate() * static_cast<double>(train.spikes.size());
    neurons += static_cast<double>(train.spikes.size());
  }
  return neurons > 0.0 ? events / neurons : 0.0;
}

void SpikeRecorder::add_views(std::vector<TensorView>& views) const {
  for (const SpikeTrain& train : trains_) {
    const std::string& name = train.site.name;
    const std::vector<std::int64_t> shape = {train.batch, train.tokens, train.site.neurons};
    views.push_back({name, dtype_, shape, std::as_bytes(std::span(train.spikes))});
    views.push_back(
        {"membrane." + name.substr(name.find('.') + 1), DType::kF32, shape, std::as_bytes(std::span(train.membrane))});
  }
}

Raster make_raster(const ModelConfig& config, const SpikeRecorder& recorder, const RasterSelection& selection) {
  check_selection(config, recorder, selection);
  Raster raster;
  for (const SpikeTrain& train : recorder.trains()) {
    const auto& layers = selection.layers;
    if (!layers.empty() && std::find(layers.begin(), layers.end(), train.site.layer) == layers.end()) continue;
    if (!selection.site.empty() && kind_of(train.site) != selection.site) continue;
    const std::int64_t neurons = train.site.neurons;
    Range range = selection.neurons.empty() ? Range{0, neurons} : parse_range(selection.neurons);
    range.end = std::min(range.end, neurons);
    if (range.first >= range.end) continue;
    RasterPanel panel;
    panel.title = train.site.layer == config.n_layer ? fmt::format("head, {:.1f} %", 100.0 * train.firing_rate())
                                                     : fmt::format("layer {}, {}: {:.1f} %", train.site.layer,
                                                                   kind_of(train.site), 100.0 * train.firing_rate());
    panel.first_neuron = range.first;
    panel.neurons = range.end - range.first;
    raster.tokens = train.tokens;
    for (std::int64_t t = 0; t < train.tokens; ++t) {
      const auto row = train.spikes.begin() + t * neurons;
      panel.spikes.insert(panel.spikes.end(), row + range.first, row + range.end);
    }
    raster.panels.push_back(std::move(panel));
  }
  if (!raster.panels.empty()) return raster;
  throw Error(ErrorKind::kInvalidArgument, "no neuron is left of --layers, --site and --neurons");
}

LineChart make_profile(const ModelConfig& config, const SpikeRecorder& recorder) {
  LineChart chart;
  chart.x_label = "layer";
  chart.whole_x = true;
  chart.y_label = "events per neuron and token [%]";
  chart.reference_y = 100.0 * recorder.firing_rate();
  chart.reference_label = fmt::format("mean {:.1f} %", *chart.reference_y);
  for (const SpikeTrain& train : recorder.trains()) {
    const std::string kind = train.site.layer == config.n_layer ? "head" : kind_of(train.site);
    auto series =
        std::find_if(chart.series.begin(), chart.series.end(), [&](const Series& s) { return s.name == kind; });
    if (series == chart.series.end()) series = chart.series.insert(chart.series.end(), {kind, {}});
    series->points.push_back({static_cast<double>(train.site.layer), 100.0 * train.firing_rate()});
  }
  return chart;
}

}  // namespace spikegpt::cli
