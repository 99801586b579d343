// The table of architectures and the form that it gives a configuration.
#include "spikegpt/model/architecture.h"

#include <gtest/gtest.h>

#include "spikegpt/model/parameters.h"
#include "spikegpt/model/recurrent_state.h"
#include "tests/support/small_model.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

std::vector<std::string> names_of(const std::vector<SpikeSite>& sites) {
  std::vector<std::string> names;
  for (const SpikeSite& site : sites) names.push_back(site.name);
  return names;
}

std::vector<std::string> states_of(const ModelConfig& config) {
  std::vector<std::string> names;
  RecurrentState(config, 1).visit([&](const std::string& name, const float*, std::int64_t) { names.push_back(name); });
  return names;
}

// Names and their order are those of files: a change here is a change of formats.
TEST(Architecture, StatesKeepTheirOrder) {
  ModelConfig config = small_config("spikegpt", {8, 5, 4});
  EXPECT_EQ(states_of(config),
            (std::vector<std::string>{"blocks.0.att_shift", "blocks.0.ffn_shift", "blocks.0.numerator",
                                      "blocks.0.denominator", "blocks.0.max_exponent", "blocks.1.att_shift",
                                      "blocks.1.ffn_shift", "blocks.1.numerator", "blocks.1.denominator",
                                      "blocks.1.max_exponent", "membrane.spikes.0.lif1", "membrane.spikes.0.lif2",
                                      "membrane.spikes.1.lif1", "membrane.spikes.1.lif2"}));
  config.model_type = "RWKV-ffnPre";
  config.n_layer = 1;
  EXPECT_EQ(states_of(config), (std::vector<std::string>{"blocks.0.att_shift", "blocks.0.ffn_shift",
                                                         "membrane.spikes.0.lif1", "membrane.spikes.0.lif2"}));
}

TEST(Architecture, SitesSayWhatTheirEventsFeed) {
  ModelConfig config = small_config("event", {8, 5, 4});
  config.model_type = "RWKV-ffnPre";
  config.event_head = true;
  const std::vector<SpikeSite> sites = spike_sites(config);
  EXPECT_EQ(names_of(sites), (std::vector<std::string>{"spikes.0.pre_in", "spikes.0.pre_hidden", "spikes.0.ffn_in",
                                                       "spikes.0.ffn_hidden", "spikes.1.att_in", "spikes.1.att_out",
                                                       "spikes.1.ffn_in", "spikes.1.ffn_hidden", "spikes.head_in"}));
  // Behind a token shift twice: an event is added again at the next token.
  const std::int64_t C = 8;
  const std::vector<std::int64_t> fed = {2 * 5 * C, C, 2 * 5 * C, C, 2 * 3 * C, C, 2 * 5 * C, C, 5};
  for (std::size_t i = 0; i < sites.size(); ++i) EXPECT_EQ(sites[i].fan_out, fed[i]) << sites[i].name;
  for (const SpikeSite& site : spike_sites(small_config("spikegpt", {8, 5, 4}))) EXPECT_EQ(site.fan_out, 0);
  EXPECT_TRUE(spike_sites(small_config("rwkv", {8, 5, 4})).empty());
}

// Shifted after the projections, one product feeds all of them, and an event is added once.
TEST(Architecture, ProjectionsAreJoinedWhereTheShiftComesAfter) {
  const std::int64_t C = 8;
  const ModelConfig config = small_config("event_after", {8, 5, 4});
  const NetworkForm form = network_form(config);
  std::vector<std::string> names;
  for (const Product& product : form.products) names.push_back(product.name);
  EXPECT_EQ(std::vector(names.begin(), names.begin() + 4),
            (std::vector<std::string>{"blocks.0.att.key_value_receptance", "blocks.0.att.output",
                                      "blocks.0.ffn.key_receptance", "blocks.0.ffn.value"}));
  EXPECT_EQ(form.products[0].outputs, 3 * C);
  EXPECT_EQ(form.products[2].outputs, 5 * C);
  EXPECT_EQ(form.products[0].kind, InputKind::kSpikes);
  const std::vector<std::int64_t> fed = {3 * C, C, 5 * C, C};
  for (std::size_t i = 0; i < fed.size(); ++i) EXPECT_EQ(form.sites[i].fan_out, fed[i]) << form.sites[i].name;
  std::vector<std::int64_t> states;
  RecurrentState(config, 1).visit([&](const std::string&, const float*, std::int64_t n) { states.push_back(n); });
  EXPECT_EQ(states[0], 3 * C);
  EXPECT_EQ(states[1], 5 * C);
}

// Joined matrices lie one behind the other even where they do not fill whole cache lines.
TEST(Architecture, JoinedParametersLieTogether) {
  const ParameterLayout layout(small_config("rwkv_after", {7, 5, 4}));
  const auto follows = [&](const char* first, const char* second) {
    const ParameterInfo* a = layout.find(first);
    const ParameterInfo* b = layout.find(second);
    ASSERT_TRUE(a != nullptr && b != nullptr);
    EXPECT_EQ(a->offset + a->size, b->offset) << second;
  };
  follows("blocks.1.att.key.weight", "blocks.1.att.value.weight");
  follows("blocks.1.att.value.weight", "blocks.1.att.receptance.weight");
  follows("blocks.1.ffn.key.weight", "blocks.1.ffn.receptance.weight");
}

TEST(Architecture, ProductsAreTheMatricesAndTheHead) {
  for (const char* arch : {"spikegpt", "rwkv", "event", "feed_forward", "leaky"}) {
    const ModelConfig config = small_config(arch, {8, 5, 4});
    const ParameterLayout layout(config);
    std::int64_t matrices = -1;  // the embedding is looked up
    for (const ParameterInfo& info : layout.infos()) matrices += info.is_matrix();
    const NetworkForm form = network_form(config);
    EXPECT_EQ(std::ssize(form.products), matrices) << arch;
    for (const Product& product : form.products) {
      const ParameterInfo* weight = layout.find(product.name + ".weight");
      ASSERT_NE(weight, nullptr) << product.name;
      EXPECT_EQ(weight->shape, (std::vector{product.outputs, product.inputs})) << product.name;
    }
  }
}

TEST(Architecture, WhatIsNoRowIsRefused) {
  ModelConfig config = small_config("event", {8, 5, 4});
  config.arch = "transformer";
  expect_error(ErrorKind::kInvalidArgument, {"arch", "transformer", "spikegpt, rwkv, event"},
               [&] { validate(config); });
  config.arch = "event";
  config.model_type = "GPT";
  expect_error(ErrorKind::kInvalidArgument, {"model_type", "GPT", "RWKV, RWKV-ffnPre"}, [&] { validate(config); });
  config = small_config("rwkv", {8, 5, 4});
  config.event_head = true;
  expect_error(ErrorKind::kInvalidArgument, {"event_head"}, [&] { validate(config); });
  expect_error(ErrorKind::kInvalidArgument, {"event", "not taken"}, [] { add_architecture({.arch = "event"}); });
}

}  // namespace
}  // namespace spikegpt::test
