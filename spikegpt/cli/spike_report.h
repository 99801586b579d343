// Spike statistics as JSON, CSV files, pictures and a table.
#pragma once

#include <array>
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

// What the folders receive.
inline constexpr std::array kSpikeTables = {"sites.csv", "neurons.csv", "intervals.csv", "places.csv"};
inline constexpr const char* kSpikeTableStart = "site,";
inline constexpr std::array kSpikePictures = {"layers.svg", "neurons.svg", "intervals.svg", "places.svg"};

void print_spikes(const SpikeReport& report);
// Everything but the counts of each neuron; of these the numbers of the dead and the saturated.
Json spikes_to_json(const SpikeReport& report);
// kSpikeTables. Throws Error (kIo).
void write_spike_tables(const SpikeReport& report, const std::filesystem::path& folder);
// kSpikePictures. Throws Error (kIo).
void write_spike_pictures(const SpikeReport& report, const std::filesystem::path& folder);

}  // namespace spikegpt::cli
