// Statistics of spikes against a slow recount over spike trains that are kept whole.
#include "spikegpt/energy/spike_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/energy/text_pass.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/parameters.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

constexpr int kTokens = 600;  // several chunks

struct Lively {
  explicit Lively(const std::string& arch)
      : config(small_config(arch, {.n_embd = 12, .vocab_size = 9, .ctx_len = 300})) {
    const ParameterLayout layout(config);
    parameters.resize(static_cast<std::size_t>(layout.flat_size()));
    initialise(config, init_kind("default"), 3, parameters.data());
    for (const ParameterInfo& info : layout.infos()) {
      if (!info.name.ends_with("ln1.weight") && !info.name.ends_with("ln2.weight") && !info.name.ends_with("gain"))
        continue;
      for (std::int64_t i = 0; i < info.size; ++i) parameters[static_cast<std::size_t>(info.offset + i)] = 3.0f;
    }
    for (int i = 0; i < kTokens; ++i) tokens.push_back((i * i + 3 * i) % 9);
  }
  ModelConfig config;
  std::vector<float> parameters;
  std::vector<std::int32_t> tokens;
};

// Keeps everything: [site][T][neurons].
class Trains final : public Probe {
 public:
  void on_spikes(const SpikeRecord& r) override {
    const auto* spikes = static_cast<const float*>(r.spikes);
    for (std::int64_t t = 0; t < r.tokens; ++t)
      sites[r.site].emplace_back(spikes + t * r.neurons, spikes + (t + 1) * r.neurons);
  }
  std::map<int, std::vector<std::vector<float>>> sites;
};

// The statistics and the spike trains of one text.
struct Watched {
  Watched(const Lively& model, std::int64_t window) : statistics(model.config) {
    TextPass pass;
    pass.window = window;
    pass.on_window = [&] { statistics.begin_window(); };
    watch_text(model.config, model.parameters.data(), model.tokens, statistics, pass);
    watch_text(model.config, model.parameters.data(), model.tokens, trains, {.window = window});
  }
  SpikeStatistics statistics;
  Trains trains;
};

// One neuron, by the definitions.
NeuronCount recount(const std::vector<std::vector<float>>& train, std::size_t neuron, std::int64_t window,
                    std::map<std::int64_t, std::int64_t>& intervals) {
  NeuronCount n;
  std::int64_t last = -1;
  for (std::int64_t t = 0; t < std::ssize(train); ++t) {
    if (t % window == 0) last = -1;
    const float sent = train[static_cast<std::size_t>(t)][neuron];
    if (sent == 0.0f) continue;
    ++n.active;
    n.events += std::lround(std::fabs(sent));
    if (sent < 0.0f) n.negative += std::lround(-sent);
    if (last >= 0) {
      ++n.intervals;
      n.interval_sum += t - last;
      n.interval_squares += (t - last) * (t - last);
      ++intervals[t - last];
    }
    last = t;
  }
  return n;
}

class SpikeStatisticsTest : public testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(SpikeStatisticsTest, AgreeWithARecount) {
  const auto [arch, window] = GetParam();
  const Lively model(arch);
  const Watched watched(model, window);
  const std::int64_t length = window > 0 ? window : kTokens;
  ASSERT_EQ(watched.statistics.tokens(), kTokens);
  std::int64_t negative = 0;
  std::int64_t repeated = 0;
  for (std::size_t s = 0; s < watched.statistics.sites().size(); ++s) {
    const SiteStatistics& site = watched.statistics.sites()[s];
    const auto& train = watched.trains.sites.at(static_cast<int>(s));
    std::map<std::int64_t, std::int64_t> intervals;
    ASSERT_EQ(site.neurons.size(), train[0].size());
    for (std::size_t i = 0; i < site.neurons.size(); ++i) {
      const NeuronCount expected = recount(train, i, length, intervals);
      const NeuronCount& counted = site.neurons[i];
      EXPECT_EQ(counted.active, expected.active) << site.site.name << i;
      EXPECT_EQ(counted.events, expected.events);
      EXPECT_EQ(counted.negative, expected.negative);
      EXPECT_EQ(counted.intervals, expected.intervals);
      EXPECT_EQ(counted.interval_sum, expected.interval_sum);
      EXPECT_EQ(counted.interval_squares, expected.interval_squares);
      negative += counted.negative;
      repeated += counted.events - counted.active;
    }
    std::array<std::int64_t, kIntervalBuckets> buckets = {};
    for (const auto& [interval, times] : intervals) {
      std::size_t bucket = 0;
      while (longest_interval(static_cast<int>(bucket)) < interval) ++bucket;
      buckets[bucket] += times;
    }
    EXPECT_EQ(site.intervals, buckets) << site.site.name;
  }
  const bool graded = model.config.spike_levels > 1;
  EXPECT_EQ(negative > 0, graded) << "the case has negative spikes";
  EXPECT_EQ(repeated > 0, graded) << "the case has repeated spikes";
}

TEST_P(SpikeStatisticsTest, PlacesHoldTheEventsOfTheirTokens) {
  const auto [arch, window] = GetParam();
  const Watched watched(Lively(arch), window);
  const std::int64_t length = window > 0 ? window : kTokens;
  for (std::size_t s = 0; s < watched.statistics.sites().size(); ++s) {
    const SiteStatistics& site = watched.statistics.sites()[s];
    std::array<std::int64_t, kPlaceBuckets> events = {};
    std::array<std::int64_t, kPlaceBuckets> tokens = {};
    for (std::int64_t t = 0; t < kTokens; ++t) {
      std::size_t bucket = 0;
      while (first_place(static_cast<int>(bucket) + 1) <= t % length) ++bucket;
      ++tokens[bucket];
      for (const float sent : watched.trains.sites.at(static_cast<int>(s))[static_cast<std::size_t>(t)])
        events[bucket] += std::lround(std::fabs(sent));
    }
    EXPECT_EQ(site.events_by_place, events) << site.site.name;
    for (int i = 0; i < kPlaceBuckets; ++i)
      EXPECT_EQ(watched.statistics.tokens_at(i), tokens[static_cast<std::size_t>(i)]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SpikeStatisticsTest,
                         testing::Combine(testing::Values("spikegpt", "event"), testing::Values(0, 50, 256)));

// Sends one row of a single site after the other.
SpikeStatistics of_rows(const std::vector<std::vector<float>>& rows, int payload_steps = 0) {
  ModelConfig config = small_config("spikegpt", {.n_embd = 4, .vocab_size = 9, .ctx_len = 8});
  config.payload_steps = payload_steps;
  SpikeStatistics statistics(config);
  for (const auto& row : rows) {
    SpikeRecord record;
    record.batch = record.tokens = 1;
    record.neurons = 4;
    record.spikes = row.data();
    statistics.on_spikes(record);
  }
  return statistics;
}

TEST(SpikeFigures, DeadSaturatedAndRegularNeurons) {
  // Silent; always; every second token; after 1, 3 and 2 tokens.
  const SpikeStatistics s = of_rows(
      {{0, 1, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}, {0, 1, 0, 0}, {0, 1, 1, 1}, {0, 1, 0, 0}, {0, 1, 1, 1}, {0, 1, 0, 0}});
  const auto& neurons = s.sites()[0].neurons;
  EXPECT_TRUE(SpikeStatistics::is_dead(neurons[0]));
  EXPECT_TRUE(std::isnan(neurons[0].mean_interval()));
  EXPECT_TRUE(s.is_saturated(neurons[1], 0.95));
  EXPECT_FALSE(s.is_saturated(neurons[2], 0.95));
  EXPECT_TRUE(s.is_saturated(neurons[2], 0.5));
  EXPECT_EQ(neurons[1].mean_interval(), 1.0);
  EXPECT_EQ(neurons[2].mean_interval(), 2.0);
  EXPECT_EQ(neurons[2].interval_variation(), 0.0);
  EXPECT_EQ(neurons[3].mean_interval(), 2.0);
  EXPECT_NEAR(neurons[3].interval_variation(), std::sqrt(2.0 / 3.0) / 2.0, 1e-12);
  EXPECT_EQ(s.firing_rate(neurons[2]), 0.5);
  EXPECT_EQ(s.firing_rate(s.sites()[0]), (8 + 4 + 4) / 32.0);
  EXPECT_NEAR(s.sites()[0].mean_interval(), (7 * 1 + 3 * 2 + 3 * 2) / 13.0, 1e-12);
  EXPECT_NEAR(s.sites()[0].interval_variation(), std::sqrt(2.0 / 3.0) / 2.0 / 3.0, 1e-12);
}

TEST(SpikeFigures, BucketsCoverEverythingOnce) {
  for (std::int64_t i = 1; i < 5000; ++i) {
    const int bucket = interval_bucket(i);
    EXPECT_LE(i, longest_interval(bucket));
    EXPECT_TRUE(bucket == 0 || i > longest_interval(bucket - 1)) << i;
    EXPECT_GE(i, first_place(place_bucket(i)));
    EXPECT_LT(i, first_place(place_bucket(i) + 1));
  }
  EXPECT_EQ(place_bucket(0), 0);
  EXPECT_EQ(interval_bucket(std::int64_t{1} << 62), kIntervalBuckets - 1);
  EXPECT_EQ(place_bucket(std::int64_t{1} << 62), kPlaceBuckets - 1);
}

// Whatever its size, a payload is one event.
TEST(SpikeStatistics, PayloadsAreOneEventEach) {
  const SpikeStatistics s = of_rows({{5, 0, -9, 127}, {6, 0, 4, 0}}, 4);
  const std::vector<NeuronCount>& neurons = s.sites()[0].neurons;
  EXPECT_EQ(neurons[0].events, 2);
  EXPECT_EQ(neurons[1].events, 0);
  EXPECT_EQ(neurons[2].events, 2);
  EXPECT_EQ(neurons[2].negative, 1);
  EXPECT_EQ(s.sites()[0].at_limit, 1) << "127";
}

}  // namespace
}  // namespace spikegpt::test
