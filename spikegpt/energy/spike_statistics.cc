#include "spikegpt/energy/spike_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr int kSingleIntervals = 16;

double quotient(std::int64_t numerator, std::int64_t denominator) {
  return denominator == 0 ? kNone : static_cast<double>(numerator) / static_cast<double>(denominator);
}

// Of a number from [2^n, 2^(n+1)): n.
int octave_of(std::int64_t number) { return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(number))) - 1; }

// Takes in what a neuron sent at a place of its window; silence is not reported.
void count(std::int64_t place, int sent, NeuronCount& neuron, SiteStatistics& site) {
  const std::int64_t events = std::abs(sent);
  ++neuron.active;
  neuron.events += events;
  if (sent < 0) neuron.negative += events;
  site.events_by_place[static_cast<std::size_t>(place_bucket(place))] += events;
  if (neuron.last_fired >= 0) {
    const std::int64_t interval = place - neuron.last_fired;
    ++neuron.intervals;
    neuron.interval_sum += interval;
    neuron.interval_squares += interval * interval;
    ++site.intervals[static_cast<std::size_t>(interval_bucket(interval))];
  }
  neuron.last_fired = place;
}

}  // namespace

double NeuronCount::mean_interval() const { return quotient(interval_sum, intervals); }

double NeuronCount::interval_variation() const {
  if (intervals < 2) return kNone;
  const double mean = mean_interval();
  const double variance = quotient(interval_squares, intervals) - mean * mean;
  return std::sqrt(std::fmax(variance, 0.0)) / mean;
}

int interval_bucket(std::int64_t interval) {
  if (interval <= kSingleIntervals) return static_cast<int>(interval - 1);
  return std::min(kIntervalBuckets - 1, kSingleIntervals - 4 + octave_of(interval - 1));
}

std::int64_t longest_interval(int bucket) {
  return bucket < kSingleIntervals ? bucket + 1 : std::int64_t{1} << (bucket - kSingleIntervals + 5);
}

int place_bucket(std::int64_t place) {
  if (place < 2) return static_cast<int>(place);
  const int octave = octave_of(place);
  return std::min(kPlaceBuckets - 1, 2 * octave + static_cast<int>((place >> (octave - 1)) & 1));
}

std::int64_t first_place(int bucket) {
  if (bucket < 2) return bucket;
  return (std::int64_t{2} + (bucket & 1)) << (bucket / 2 - 1);
}

std::int64_t SiteStatistics::events() const {
  std::int64_t sum = 0;
  for (const NeuronCount& neuron : neurons) sum += neuron.events;
  return sum;
}

std::int64_t SiteStatistics::active() const {
  std::int64_t sum = 0;
  for (const NeuronCount& neuron : neurons) sum += neuron.active;
  return sum;
}

double SiteStatistics::mean_interval() const {
  std::int64_t sum = 0;
  std::int64_t number = 0;
  for (const NeuronCount& neuron : neurons) {
    sum += neuron.interval_sum;
    number += neuron.intervals;
  }
  return quotient(sum, number);
}

double SiteStatistics::interval_variation() const {
  double sum = 0.0;
  std::int64_t number = 0;
  for (const NeuronCount& neuron : neurons) {
    const double variation = neuron.interval_variation();
    if (std::isnan(variation)) continue;
    sum += variation;
    ++number;
  }
  return number == 0 ? kNone : sum / static_cast<double>(number);
}

SpikeStatistics::SpikeStatistics(const ModelConfig& config) {
  for (const SpikeSite& site : spike_sites(config)) {
    sites_.push_back({site, std::vector<NeuronCount>(static_cast<std::size_t>(site.neurons))});
  }
  for (const NeuronParameters& neuron : site_neurons(config)) {
    progress_.push_back({.limit = neuron.thresholds().most(), .sends_payloads = neuron.thresholds().has_dead_zone()});
  }
}

void SpikeStatistics::on_spikes(const SpikeRecord& record) {
  ensure(record.dtype == DType::kF32 && record.batch == 1, "counted are float passes of one sequence");
  SiteStatistics& site = sites_.at(static_cast<std::size_t>(record.site));
  Progress& progress = progress_.at(static_cast<std::size_t>(record.site));
  const auto* spikes = static_cast<const float*>(record.spikes);
  for (std::int64_t t = 0; t < record.tokens; ++t, ++progress.place, ++progress.tokens) {
    if (record.site == 0) ++tokens_by_place_[static_cast<std::size_t>(place_bucket(progress.place))];
    for (std::int64_t i = 0; i < record.neurons; ++i) {
      const float value = spikes[t * record.neurons + i];
      if (value == 0.0f) continue;
      const auto sent = static_cast<int>(std::lround(value));
      const int sign = sent > 0 ? 1 : -1;  // a payload is one event, whatever its size
      count(progress.place, progress.sends_payloads ? sign : sent, site.neurons[static_cast<std::size_t>(i)], site);
      site.at_limit += std::abs(sent) == progress.limit;
    }
  }
}

void SpikeStatistics::begin_window() {
  for (Progress& progress : progress_) progress.place = 0;
  for (SiteStatistics& site : sites_) {
    for (NeuronCount& neuron : site.neurons) neuron.last_fired = -1;
  }
}

std::int64_t SpikeStatistics::tokens() const { return progress_.empty() ? 0 : progress_.front().tokens; }
std::int64_t SpikeStatistics::tokens_at(int bucket) const {
  return tokens_by_place_.at(static_cast<std::size_t>(bucket));
}

double SpikeStatistics::firing_rate() const {
  std::int64_t events = 0;
  std::int64_t neurons = 0;
  for (const SiteStatistics& site : sites_) {
    events += site.events();
    neurons += site.site.neurons;
  }
  return quotient(events, neurons * tokens());
}

double SpikeStatistics::firing_rate(const SiteStatistics& site) const {
  return quotient(site.events(), site.site.neurons * tokens());
}

double SpikeStatistics::firing_rate_at(const SiteStatistics& site, int bucket) const {
  return quotient(site.events_by_place.at(static_cast<std::size_t>(bucket)), site.site.neurons * tokens_at(bucket));
}

double SpikeStatistics::firing_rate(const NeuronCount& neuron) const { return quotient(neuron.events, tokens()); }

bool SpikeStatistics::is_saturated(const NeuronCount& neuron, double share) const {
  return tokens() > 0 && static_cast<double>(neuron.active) >= share * static_cast<double>(tokens());
}

}  // namespace spikegpt
