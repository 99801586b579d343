#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "spikegpt/cli/spike_report.h"
#include "spikegpt/core/files.h"
#include "spikegpt/plot/line_chart.h"

namespace spikegpt::cli {
namespace {

constexpr std::size_t kQuantiles = 200;

// Sites of one kind, through all layers: "ffn_in" of "spikes.3.ffn_in".
struct SiteKind {
  std::string name;
  std::vector<const SiteStatistics*> sites;
};

std::vector<SiteKind> kinds_of(const SpikeStatistics& statistics) {
  std::vector<SiteKind> kinds;
  for (const SiteStatistics& site : statistics.sites()) {
    const std::string name = site.site.name.substr(site.site.name.rfind('.') + 1);
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const SiteKind& k) { return k.name == name; });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {name, {}});
    kind->sites.push_back(&site);
  }
  return kinds;
}

LineChart chart_of(const SpikeReport& report, const char* title, const char* x_label, const char* y_label) {
  LineChart chart;
  chart.title = fmt::format("{}: {}", report.model, title);
  chart.x_label = x_label;
  chart.y_label = y_label;
  return chart;
}

LineChart layers_chart(const SpikeReport& report) {
  LineChart chart = chart_of(report, "firing rates by layer", "layer", "events per neuron and token [%]");
  chart.whole_x = true;
  for (const SiteKind& kind : kinds_of(report.statistics)) {
    Series series = {kind.name, {}};
    for (const SiteStatistics* site : kind.sites) {
      series.points.push_back({static_cast<double>(site->site.layer), 100.0 * report.statistics.firing_rate(*site)});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

// Neurons from the quietest to the liveliest. The dead have no place on a logarithmic axis: their curve begins later.
LineChart neurons_chart(const SpikeReport& report) {
  LineChart chart = chart_of(report, "firing rates of single neurons", "share of the neurons, the quietest first [%]",
                             "events per token [%]");
  chart.log_y = true;
  for (const SiteKind& kind : kinds_of(report.statistics)) {
    std::vector<double> rates;
    for (const SiteStatistics* site : kind.sites) {
      for (const NeuronCount& neuron : site->neurons) rates.push_back(100.0 * report.statistics.firing_rate(neuron));
    }
    std::sort(rates.begin(), rates.end());
    Series series = {kind.name, {}};
    for (std::size_t i = 0; i <= kQuantiles; ++i) {
      series.points.push_back(
          {100.0 * static_cast<double>(i) / kQuantiles, rates[i * (rates.size() - 1) / kQuantiles]});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

LineChart intervals_chart(const SpikeReport& report) {
  LineChart chart = chart_of(report, "tokens between two firings", "interval [tokens]",
                             "share of the intervals, per token of length [%]");
  chart.log_x = chart.log_y = true;
  for (const SiteKind& kind : kinds_of(report.statistics)) {
    std::array<double, kIntervalBuckets> counts = {};
    double all = 0.0;
    for (const SiteStatistics* site : kind.sites) {
      for (std::size_t i = 0; i < counts.size(); ++i) {
        counts[i] += static_cast<double>(site->intervals[i]);
        all += static_cast<double>(site->intervals[i]);
      }
    }
    Series series = {kind.name, {}};
    for (int i = 0; i < kIntervalBuckets && all > 0.0; ++i) {
      const double longest = static_cast<double>(longest_interval(i));
      const double before = i == 0 ? 0.0 : static_cast<double>(longest_interval(i - 1));
      const double density = counts[static_cast<std::size_t>(i)] / all / (longest - before);
      if (density > 0.0) series.points.push_back({std::sqrt((before + 1.0) * longest), 100.0 * density});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

LineChart places_chart(const SpikeReport& report) {
  LineChart chart =
      chart_of(report, "firing rate along the text", "token, counted from 1", "events per neuron and token [%]");
  chart.log_x = true;
  for (const SiteKind& kind : kinds_of(report.statistics)) {
    Series series = {kind.name, {}};
    for (int i = 0; i < kPlaceBuckets && report.statistics.tokens_at(i) > 0; ++i) {
      double rate = 0.0;  // the sites of a kind have the same number of neurons
      for (const SiteStatistics* site : kind.sites) rate += report.statistics.firing_rate_at(*site, i);
      const auto middle = 0.5 * static_cast<double>(first_place(i) + first_place(i + 1) + 1);
      series.points.push_back({middle, 100.0 * rate / static_cast<double>(kind.sites.size())});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

void write_spike_pictures(const SpikeReport& report, const std::filesystem::path& folder) {
  make_folder(folder);
  write_text_atomically(folder / "layers.svg", layers_chart(report).draw(PlotFormat::kSvg));
  write_text_atomically(folder / "neurons.svg", neurons_chart(report).draw(PlotFormat::kSvg));
  write_text_atomically(folder / "intervals.svg", intervals_chart(report).draw(PlotFormat::kSvg));
  write_text_atomically(folder / "places.svg", places_chart(report).draw(PlotFormat::kSvg));
}

}  // namespace spikegpt::cli
