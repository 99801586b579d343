// Densities against loops over every spike.
#include "spikegpt/model/activity.h"

#include <gtest/gtest.h>

#include "spikegpt/core/random.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"
#include "tests/support/model_case.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

class DensitiesTest : public testing::TestWithParam<std::string> {};

TEST_P(DensitiesTest, AreThoseOfTheSpikes) {
  constexpr std::int64_t kTokens = 40;
  ModelConfig config = small_config(GetParam(), {16, 19, kTokens});
  config.event_head = config.arch == "event";
  FlatParameters parameters(config);
  initialise(config, InitKind::kDefault, 1, parameters.data());
  for (const ParameterInfo& info : parameters.layout().infos()) {
    if (info.shape.size() != 2 || info.name == "emb.weight") continue;
    for (float& weight : parameters.of(info)) weight *= 6.0f;
  }
  std::vector<std::int32_t> tokens;
  RandomStream random(3, RandomPurpose::kBatch);
  for (std::int64_t i = 0; i < kTokens; ++i) tokens.push_back(static_cast<std::int32_t>(random.next_below(19)));
  NetworkOptions options;
  options.plan.tokens = kTokens;
  const auto network = make_network(config, options);
  network->set_parameters(parameters.data());
  Activity activity(config);
  SpikeRecorder recorder;
  RunOptions run;
  run.spike_counts = activity.counts();
  run.probe = &recorder;
  network->forward({tokens}, run);

  const double C = config.n_embd;
  const double dense = 13.0 * C * C * config.n_layer;
  const bool after = config.token_shift == "after";
  Densities expected;
  double neurons = 0.0;
  const std::vector<SpikeSite> sites = spike_sites(config);
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const SpikeSite& site = sites[i];
    const bool is_input = site.place.ends_with("_in");
    const bool is_payload = std::ranges::find(config.payload_places, site.place) != config.payload_places.end();
    double fed = 0.0;  // outputs that an event is added to
    if (site.place == "att_in") fed = (after ? 3.0 : 6.0) * C;
    if (site.place == "ffn_in") fed = (after ? 5.0 : 10.0) * C;
    if (!is_input) fed = config.arch == "event" ? C : 0.0;
    double events = 0.0;
    double active = 0.0;
    for (const float value : recorder.site(static_cast<int>(i))) {
      active += value != 0.0f;
      events += is_payload ? (value != 0.0f) : std::fabs(value);
    }
    expected.firing_rate += events;
    expected.synops += events * fed / dense / kTokens;
    expected.active_rows += active * fed / dense / kTokens;
    neurons += static_cast<double>(site.neurons);
  }
  expected.firing_rate /= neurons * kTokens;
  const Densities found = activity.densities(kTokens);
  EXPECT_GT(expected.firing_rate, 0.01);
  EXPECT_NEAR(found.firing_rate, expected.firing_rate, 1e-12);
  EXPECT_NEAR(found.synops, expected.synops, 1e-12);
  EXPECT_NEAR(found.active_rows, expected.active_rows, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(All, DensitiesTest, testing::Values("spikegpt", "event", "event_after", "event_payload"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace spikegpt::test
