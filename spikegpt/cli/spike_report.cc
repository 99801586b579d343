#include "spikegpt/cli/spike_report.h"

#include <fmt/format.h>

#include <cmath>

#include "spikegpt/core/files.h"

namespace spikegpt::cli {
namespace {

struct Quiet {
  std::vector<std::size_t> dead;
  std::vector<std::size_t> saturated;
};

Quiet quiet_of(const SpikeReport& report, const SiteStatistics& site) {
  Quiet quiet;
  for (std::size_t i = 0; i < site.neurons.size(); ++i) {
    if (SpikeStatistics::is_dead(site.neurons[i])) quiet.dead.push_back(i);
    if (report.statistics.is_saturated(site.neurons[i], report.saturated)) quiet.saturated.push_back(i);
  }
  return quiet;
}

std::int64_t negative_events(const SiteStatistics& site) {
  std::int64_t sum = 0;
  for (const NeuronCount& neuron : site.neurons) sum += neuron.negative;
  return sum;
}

double share(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Numbers that do not exist are left empty.
std::string cell(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }
Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// The last bucket that holds anything, and one more.
template <std::size_t N>
int used(const std::array<std::int64_t, N>& buckets) {
  int end = static_cast<int>(N);
  while (end > 0 && buckets[static_cast<std::size_t>(end - 1)] == 0) --end;
  return end;
}

int places_used(const SpikeStatistics& statistics) {
  int end = kPlaceBuckets;
  while (end > 0 && statistics.tokens_at(end - 1) == 0) --end;
  return end;
}

std::int64_t shortest_interval(int bucket) { return bucket == 0 ? 1 : longest_interval(bucket - 1) + 1; }

Json to_json(const SpikeReport& report, const SiteStatistics& site) {
  const SpikeStatistics& statistics = report.statistics;
  Quiet quiet = quiet_of(report, site);
  Json json = {{"name", site.site.name},
               {"layer", site.site.layer},
               {"neurons", site.site.neurons},
               {"firing_rate", statistics.firing_rate(site)},
               {"active_share", share(site.active(), site.site.neurons * statistics.tokens())},
               {"negative_share", share(negative_events(site), site.events())},
               {"at_limit_share", share(site.at_limit, site.active())},
               {"mean_interval", json_number(site.mean_interval())},
               {"interval_variation", json_number(site.interval_variation())},
               {"dead", quiet.dead},
               {"saturated", quiet.saturated}};
  json["intervals"] = Json::array();
  for (int i = 0; i < used(site.intervals); ++i) {
    json["intervals"].push_back({{"from", shortest_interval(i)},
                                 {"to", longest_interval(i)},
                                 {"count", site.intervals[static_cast<std::size_t>(i)]}});
  }
  json["places"] = Json::array();
  for (int i = 0; i < places_used(statistics); ++i) {
    json["places"].push_back({{"from", first_place(i)},
                              {"to", first_place(i + 1) - 1},
                              {"firing_rate", statistics.firing_rate_at(site, i)}});
  }
  return json;
}

std::string sites_csv(const SpikeReport& report) {
  std::string csv =
      "site,layer,neurons,firing_rate,active_share,negative_share,at_limit_share,mean_interval,interval_variation,dead,"
      "saturated\n";
  for (const SiteStatistics& site : report.statistics.sites()) {
    const Quiet quiet = quiet_of(report, site);
    csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", site.site.name, site.site.layer, site.site.neurons,
                       cell(report.statistics.firing_rate(site)),
                       cell(share(site.active(), site.site.neurons * report.statistics.tokens())),
                       cell(share(negative_events(site), site.events())), cell(share(site.at_limit, site.active())),
                       cell(site.mean_interval()), cell(site.interval_variation()), quiet.dead.size(),
                       quiet.saturated.size());
  }
  return csv;
}

void write_neurons(const SpikeReport& report, FileWriter& file) {
  file.write_text(
      "site,neuron,firing_rate,active_tokens,events,negative_events,mean_interval,interval_variation,state\n");
  for (const SiteStatistics& site : report.statistics.sites()) {
    for (std::size_t i = 0; i < site.neurons.size(); ++i) {
      const NeuronCount& n = site.neurons[i];
      const char* const state = SpikeStatistics::is_dead(n)                           ? "dead"
                                : report.statistics.is_saturated(n, report.saturated) ? "saturated"
                                                                                      : "";
      file.write_text(fmt::format("{},{},{},{},{},{},{},{},{}\n", site.site.name, i,
                                  cell(report.statistics.firing_rate(n)), n.active, n.events, n.negative,
                                  cell(n.mean_interval()), cell(n.interval_variation()), state));
    }
  }
}

std::string intervals_csv(const SpikeReport& report) {
  std::string csv = "site,from,to,count\n";
  for (const SiteStatistics& site : report.statistics.sites()) {
    for (int i = 0; i < used(site.intervals); ++i) {
      csv += fmt::format("{},{},{},{}\n", site.site.name, shortest_interval(i), longest_interval(i),
                         site.intervals[static_cast<std::size_t>(i)]);
    }
  }
  return csv;
}

std::string places_csv(const SpikeReport& report) {
  std::string csv = "site,from,to,tokens,firing_rate\n";
  for (const SiteStatistics& site : report.statistics.sites()) {
    for (int i = 0; i < places_used(report.statistics); ++i) {
      csv += fmt::format("{},{},{},{},{}\n", site.site.name, first_place(i), first_place(i + 1) - 1,
                         report.statistics.tokens_at(i), cell(report.statistics.firing_rate_at(site, i)));
    }
  }
  return csv;
}

}  // namespace

void print_spikes(const SpikeReport& report) {
  fmt::print("{:<24} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>10}\n", "site", "neurons", "firing", "active",
             "negative", "at limit", "interval", "CV", "dead", "saturated");
  const auto number = [](double value, const char* unit) {
    return std::isfinite(value) ? fmt::format("{:.2f}{}", value, unit) : std::string("-");
  };
  for (const SiteStatistics& site : report.statistics.sites()) {
    const Quiet quiet = quiet_of(report, site);
    fmt::print("{:<24} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>10}\n", site.site.name, site.site.neurons,
               number(100.0 * report.statistics.firing_rate(site), " %"),
               number(100.0 * share(site.active(), site.site.neurons * report.statistics.tokens()), " %"),
               number(100.0 * share(negative_events(site), site.events()), " %"),
               number(100.0 * share(site.at_limit, site.active()), " %"), number(site.mean_interval(), ""),
               number(site.interval_variation(), ""), quiet.dead.size(), quiet.saturated.size());
  }
}

Json spikes_to_json(const SpikeReport& report) {
  Json json = {{"tokens", report.statistics.tokens()},
               {"firing_rate", report.statistics.firing_rate()},
               {"saturated_from", report.saturated},
               {"sites", Json::array()}};
  for (const SiteStatistics& site : report.statistics.sites()) json["sites"].push_back(to_json(report, site));
  return json;
}

void write_spike_tables(const SpikeReport& report, const std::filesystem::path& folder) {
  make_folder(folder);
  write_text_atomically(folder / "sites.csv", sites_csv(report));
  write_atomically(folder / "neurons.csv", [&](FileWriter& file) { write_neurons(report, file); });
  write_text_atomically(folder / "intervals.csv", intervals_csv(report));
  write_text_atomically(folder / "places.csv", places_csv(report));
}

}  // namespace spikegpt::cli
