// What neurons do over a text: how often each fires, how long it rests, which never or always fire. Memory grows with
// the number of neurons, not with the length of the text.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "spikegpt/core/probe.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt {

// A neuron fires in a token when it sends anything: one event, several (spike_levels), or negative ones
// (signed_spikes). An interval is the number of tokens from one firing to the next, 1 for neighbours, whatever was
// sent; memory that begins anew ends it.
struct NeuronCount {
  std::int64_t active = 0;    // tokens in which it fired
  std::int64_t events = 0;    // sent: repeated and negative ones each; a payload is one
  std::int64_t negative = 0;  // events that were negative
  std::int64_t intervals = 0;
  std::int64_t interval_sum = 0;      // [tokens]
  std::int64_t interval_squares = 0;  // [tokens^2]
  std::int64_t last_fired = -1;       // place in its window, -1 = not yet

  double mean_interval() const;  // [tokens]; NaN without intervals
  // Standard deviation of the intervals over their mean: 0 is a clock, sqrt(1 - p) a neuron that fires by chance in a
  // share p of the tokens, more than that one that fires in bursts. NaN below two intervals.
  double interval_variation() const;
};

// Intervals 1, 2, ... 16 one by one, longer ones by octaves: 17-32, 33-64, ... Bucket i.
inline constexpr int kIntervalBuckets = 48;
int interval_bucket(std::int64_t interval);
std::int64_t longest_interval(int bucket);  // that falls into it

// Places in a window, growing: 0, 1, 2, 3, 4-5, 6-7, 8-11, 12-15, 16-23, ... two an octave. Bucket i holds [first,
// first of i + 1).
inline constexpr int kPlaceBuckets = 96;
int place_bucket(std::int64_t place);
std::int64_t first_place(int bucket);

struct SiteStatistics {
  SpikeSite site;
  std::vector<NeuronCount> neurons;
  std::array<std::int64_t, kIntervalBuckets> intervals = {};
  std::array<std::int64_t, kPlaceBuckets> events_by_place = {};  // of all neurons
  std::int64_t at_limit = 0;  // firings at the most events that a neuron can send in a token

  std::int64_t events() const;
  std::int64_t active() const;
  // Of all neurons' intervals together; NaN without any.
  double mean_interval() const;
  // Mean of interval_variation over the neurons that have one; NaN when none has.
  double interval_variation() const;
};

class SpikeStatistics final : public Probe {
 public:
  explicit SpikeStatistics(const ModelConfig& config);

  // For float passes of one sequence, chunk after chunk.
  void on_spikes(const SpikeRecord& record) override;
  // What follows remembers nothing of what was before.
  void begin_window();

  const std::vector<SiteStatistics>& sites() const noexcept { return sites_; }
  // Seen by every site.
  std::int64_t tokens() const;
  // Tokens that fell into a place bucket.
  std::int64_t tokens_at(int place_bucket) const;

  // Events per neuron and token.
  double firing_rate() const;
  double firing_rate(const SiteStatistics& site) const;
  double firing_rate_at(const SiteStatistics& site, int place_bucket) const;
  double firing_rate(const NeuronCount& neuron) const;
  // Never fired.
  static bool is_dead(const NeuronCount& neuron) { return neuron.active == 0; }
  // Fired in at least this share of all tokens.
  bool is_saturated(const NeuronCount& neuron, double share) const;

 private:
  struct Progress {
    std::int64_t tokens = 0;
    std::int64_t place = 0;  // of the next token in its window
    int limit = 1;           // what a neuron can send at most
    bool sends_payloads = false;
  };
  std::vector<SiteStatistics> sites_;
  std::vector<Progress> progress_;  // of each site: chunks reach them one after the other
  std::array<std::int64_t, kPlaceBuckets> tokens_by_place_ = {};
};

}  // namespace spikegpt
