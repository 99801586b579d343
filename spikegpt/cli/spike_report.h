// Spike statistics as JSON, CSV files, pictures and a table.
#pragma once

#include <filesystem>
#include <string>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/energy/spike_statistics.h"

namespace spikegpt::cli {

struct SpikeReport {
  const SpikeStatistics& statistics;
  double saturated = 0.95;  // share of tokens from which on a neuron counts as saturated
  std::string model;        // what titles call it
};

void print_spikes(const SpikeReport& report);
// Everything but the counts of each neuron; of these the numbers of the dead and the saturated.
Json spikes_to_json(const SpikeReport& report);
// sites.csv, neurons.csv, intervals.csv, places.csv. Throws Error (kIo).
void write_spike_tables(const SpikeReport& report, const std::filesystem::path& folder);
// layers, neurons, intervals and places, .svg. Throws Error (kIo).
void write_spike_pictures(const SpikeReport& report, const std::filesystem::path& folder);

}  // namespace spikegpt::cli
