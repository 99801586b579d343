// Counts of operations against a recount by loops over what the neurons sent.
#include "spikegpt/energy/accounting.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "spikegpt/core/error.h"
#include "spikegpt/energy/elementwise.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/energy/quantised.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

ModelConfig tiny(const std::string& arch) {
  return small_config(arch, {.n_embd = 12, .vocab_size = 9, .ctx_len = 300});
}

struct Tiny {
  explicit Tiny(const ModelConfig& model) : config(model) {
    const ParameterLayout layout(config);
    parameters.resize(static_cast<std::size_t>(layout.flat_size()));
    initialise(config, init_kind("default"), 3, parameters.data());
    for (const ParameterInfo& info : layout.infos()) {  // lively currents
      if (!info.name.ends_with("ln1.weight") && !info.name.ends_with("ln2.weight") && !info.name.ends_with("gain"))
        continue;
      for (std::int64_t i = 0; i < info.size; ++i) parameters[static_cast<std::size_t>(info.offset + i)] = 3.0f;
    }
    for (int i = 0; i < 300; ++i) tokens.push_back((i * i + 3 * i) % 9);  // more than a chunk
  }
  ModelConfig config;
  std::vector<float> parameters;
  std::vector<std::int32_t> tokens;
};

// All that neurons sent and hidden layers held, in one pass over the whole text.
class Recorder final : public Probe {
 public:
  void on_spikes(const SpikeRecord& r) override { keep(sites[r.site], r.spikes, r.tokens, r.neurons); }
  void on_hidden(const HiddenRecord& r) override { keep(hidden[r.index], r.values, r.tokens, r.neurons); }
  using Values = std::vector<std::vector<float>>;  // [T][neurons]
  std::map<int, Values> sites;
  std::map<int, Values> hidden;

 private:
  static void keep(Values& values, const void* from, std::int64_t tokens, std::int64_t neurons) {
    const auto* floats = static_cast<const float*>(from);
    for (std::int64_t t = 0; t < tokens; ++t) values.emplace_back(floats + t * neurons, floats + (t + 1) * neurons);
  }
};

Recorder record(const Tiny& model) {
  const auto network = make_network(model.config, {GemmPrecision::kF32, {1, 300}});
  network->set_parameters(model.parameters.data());
  Recorder recorder;
  RunOptions run;
  run.probe = &recorder;
  network->forward({model.tokens}, run);
  return recorder;
}

// Additions of a product of `outputs` that gathers a row for every event: one at a time.
std::int64_t additions(const Recorder::Values& spikes, std::int64_t outputs, bool shifted) {
  std::int64_t sum = 0;
  for (std::size_t t = 0; t < spikes.size(); ++t) {
    for (std::size_t i = 0; i < spikes[t].size(); ++i) {
      for (float left = std::fabs(spikes[t][i]); left > 0.5f; left -= 1.0f) sum += outputs;
      if (!shifted || t == 0) continue;
      for (float left = std::fabs(spikes[t - 1][i]); left > 0.5f; left -= 1.0f) sum += outputs;
    }
  }
  return sum;
}

TEST(Energy, EventCountsAreThoseOfASlowRecount) {
  for (const bool graded : {true, false}) {
    ModelConfig config = tiny("event");
    if (!graded) {
      config.spike_levels = 1;
      config.signed_spikes = false;
      config.v_reset = 0.0;
    }
    const Tiny model(config);
    const Recorder recorder = record(model);
    const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
    std::int64_t expected = 0;
    for (int layer = 0; layer < 2; ++layer) {
      const int first = 4 * layer;  // att_in, att_out, ffn_in, ffn_hidden
      expected += additions(recorder.sites.at(first), 3 * 12, true);
      expected += additions(recorder.sites.at(first + 1), 12, false);
      expected += additions(recorder.sites.at(first + 2), 12 + 48, true);
      expected += additions(recorder.sites.at(first + 3), 12, false);
    }
    ASSERT_GT(expected, 10000);
    const Operations products = account.total(Accounting::kNeeded).products;
    EXPECT_EQ(products.accumulates, expected);
    EXPECT_EQ(products.macs, 300 * 12 * 9) << "the head reads no spikes";
    EXPECT_EQ(products.multiplies, 0);
  }
}

TEST(Energy, SparseHiddenLayersCostTheirNonZeros) {
  for (const char* arch : {"spikegpt", "rwkv"}) {
    const Tiny model(tiny(arch));
    const Recorder recorder = record(model);
    const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
    std::int64_t expected = 300 * 12 * 9;
    for (int layer = 0; layer < 2; ++layer) {
      expected += 300 * (4 * 12 * 12 + 12 * 12 + 12 * 48);
      for (const auto& row : recorder.hidden.at(layer)) {
        for (const float value : row) expected += value != 0.0f ? 12 : 0;
      }
    }
    const Operations products = account.total(Accounting::kNeeded).products;
    EXPECT_EQ(products.macs, expected) << arch;
    EXPECT_EQ(products.accumulates, 0) << arch;
    EXPECT_LT(products.macs, account.total(Accounting::kTwin).products.macs);
  }
}

TEST(Energy, TheTwinPaysForEveryWeightOnceAToken) {
  for (const char* arch : {"spikegpt", "rwkv", "event"}) {
    for (const char* type : {"RWKV", "RWKV-ffnPre"}) {
      ModelConfig config = tiny(arch);
      config.model_type = type;
      const Tiny model(config);
      std::int64_t matrices = 0;
      const ParameterLayout layout(config);
      for (const ParameterInfo& info : layout.infos()) {
        if (info.shape.size() == 2 && info.name != "emb.weight") matrices += info.size;
      }
      const EnergyAccount account(config, model.parameters.data(), model.tokens);
      EXPECT_EQ(account.total(Accounting::kTwin).products.macs, 300 * matrices) << arch << type;
      EXPECT_EQ(account.total(Accounting::kTwin).weights, 300 * matrices);
    }
  }
}

TEST(Energy, ThePaperTakesEveryInputForSpikes) {
  const Tiny model(tiny("spikegpt"));
  const Recorder recorder = record(model);
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  const auto rate = [&](int site) {
    double spikes = 0.0;
    for (const auto& row : recorder.sites.at(site)) {
      for (const float value : row) spikes += static_cast<double>(value);
    }
    return spikes / (300.0 * 12.0);
  };
  double expected = 0.0;
  double mean = 0.0;
  for (int layer = 0; layer < 2; ++layer) {
    const int first = 2 * layer;  // lif1, lif2
    expected += 300.0 * (rate(first) * 4 * 144 + rate(first + 1) * 9 * 144);
    mean += 0.25 * (rate(first) + rate(first + 1));
  }
  expected += 300.0 * mean * 12 * 9;
  const Cost paper = account.total(Accounting::kPaper);
  EXPECT_NEAR(static_cast<double>(paper.products.accumulates), expected, 20.0);
  EXPECT_EQ(paper.products.macs, 0);
  EXPECT_EQ(paper.elementwise, Operations());
  EXPECT_NEAR(account.firing_rate(), mean, 1e-12);
}

// What no list of products in this test knows of: 2 C^2 a block and the head.
TEST(Energy, NewArchitecturesAreCounted) {
  const Tiny model(tiny("leaky"));
  const Recorder recorder = record(model);
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  std::int64_t additions_of_events = 0;
  std::int64_t macs = 300 * 12 * 9;
  for (int layer = 0; layer < 2; ++layer) {
    additions_of_events += additions(recorder.sites.at(3 * layer + 1), 12, false);  // mem_in, mem_out, ffn_out
    macs += 300 * (12 * 12 + 12 * 48);
    for (const auto& row : recorder.hidden.at(layer)) {
      for (const float value : row) macs += value != 0.0f ? 12 : 0;
    }
  }
  ASSERT_GT(additions_of_events, 1000);
  const Operations products = account.total(Accounting::kNeeded).products;
  EXPECT_EQ(products.accumulates, additions_of_events);
  EXPECT_EQ(products.macs, macs);
}

// Shifted after the projections an event is added once; a payload is multiplied, once for each of its neuron's weights.
TEST(Energy, PayloadsAreMultiplied) {
  const Tiny model(tiny("event_payload"));
  const Recorder recorder = record(model);
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  const auto active = [&](int site) {
    std::int64_t sum = 0;
    for (const auto& row : recorder.sites.at(site)) {
      for (const float value : row) sum += value != 0.0f;
    }
    return sum;
  };
  std::int64_t macs = 300 * 12 * 9;
  std::int64_t accumulates = 0;
  std::int64_t weights = macs;
  for (int layer = 0; layer < 2; ++layer) {
    const int first = 4 * layer;  // att_in, att_out, ffn_in, ffn_hidden
    macs += active(first) * 3 * 12 + active(first + 2) * 5 * 12;
    accumulates += additions(recorder.sites.at(first + 1), 12, false);
    accumulates += additions(recorder.sites.at(first + 3), 12, false);
    weights += active(first) * 3 * 12 + active(first + 2) * 5 * 12 + (active(first + 1) + active(first + 3)) * 12;
  }
  ASSERT_GT(active(0), 100);
  const Cost cost = account.total(Accounting::kNeeded);
  EXPECT_EQ(cost.products.macs, macs);
  EXPECT_EQ(cost.products.accumulates, accumulates);
  EXPECT_EQ(cost.weights, weights);
}

// Against sums over every weight, input and output.
TEST(Energy, OfEightBitsIsPricedByTheCounts) {
  for (const char* arch : {"event", "event_payload", "spikegpt"}) {
    const Tiny model(tiny(arch));
    const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
    const PriceTable floats = load_prices("45nm");
    const QuantisedPrices prices = {.multiply = 3.0, .add = 1.0, .small_sram = 10.0, .large_sram = 100.0, .dram = 1e3};
    const std::int64_t C = 12;
    const std::int64_t matrices = 2 * 13 * C * C;
    const QuantisedEnergy twin = quantised_energy(account, Accounting::kTwin, floats, 90, prices);
    const double beside = energy(account.total(Accounting::kTwin).elementwise, floats) / 300.0;
    const double weights = static_cast<double>(matrices + 90 * C);
    EXPECT_NEAR(twin.computing, 4e-12 * weights + beside, 1e-6 * twin.computing) << arch;
    EXPECT_NEAR(twin.weights_from_sram, 1e-10 * weights, 1e-6 * twin.weights_from_sram);
    EXPECT_NEAR(twin.weights_from_dram, 10.0 * twin.weights_from_sram, 1e-6 * twin.weights_from_dram);
    // Per block 4 + 6 times C inputs, 4 + 6 times C outputs (r, k, v, o, key, receptance, value); five states of C.
    // Joined projections read their input once.
    const std::int64_t inputs = std::string(arch) == "event_payload" ? 7 : 10;
    const double state = 2.0 * 4.0 * 2 * 5 * C;
    const double moved = state + static_cast<double>(2 * inputs * C + C) + 4.0 * (2 * 10 * C + 90);
    EXPECT_NEAR(twin.local, 1e-11 * moved, 1e-6 * twin.local) << arch;

    const QuantisedEnergy needed = quantised_energy(account, Accounting::kNeeded, floats, 9, prices);
    const Cost cost = account.total(Accounting::kNeeded);
    const double products =
        4.0 * static_cast<double>(cost.products.macs) + static_cast<double>(cost.products.accumulates);
    EXPECT_NEAR(needed.computing, 1e-12 * products / 300.0 + energy(cost.elementwise, floats) / 300.0,
                1e-6 * needed.computing);
    EXPECT_NEAR(needed.weights_from_sram, 1e-10 * static_cast<double>(cost.weights) / 300.0,
                1e-6 * needed.weights_from_sram);
  }
}

// NeuroBench's own definitions: an input of 1 or -1 is added, any other that is not zero is multiplied.
TEST(Energy, NeuroBenchCountsByTheSizeOfInputs) {
  const Tiny model(tiny("event_payload"));
  const Recorder recorder = record(model);
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  const std::int64_t fed[] = {3 * 12, 12, 5 * 12, 12};
  std::int64_t macs = 300 * 12 * 9;
  std::int64_t accumulates = 0;
  std::int64_t active = 0;
  std::int64_t all = 0;
  for (int site = 0; site < 8; ++site) {
    for (const auto& row : recorder.sites.at(site)) {
      for (const float value : row) {
        const bool is_one = std::fabs(value) == 1.0f;
        active += value != 0.0f;
        ++all;
        accumulates += is_one ? fed[site % 4] : 0;
        macs += value != 0.0f && !is_one ? fed[site % 4] : 0;
      }
    }
  }
  const NeuroBenchFigures figures = account.neurobench();
  EXPECT_EQ(figures.dense, 300 * (2 * 13 * 144 + 12 * 9));
  EXPECT_EQ(figures.effective_macs, macs);
  EXPECT_EQ(figures.effective_accumulates, accumulates);
  EXPECT_GT(accumulates, 0);
  EXPECT_NEAR(figures.activation_sparsity, 1.0 - static_cast<double>(active) / static_cast<double>(all), 1e-12);
  EXPECT_EQ(figures.membrane_updates, all);
}

TEST(Energy, SilentNeuronsCostNothing) {
  Tiny model(tiny("event"));
  model.config.v_threshold = 1e6;
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  EXPECT_EQ(account.firing_rate(), 0.0);
  const Cost needed = account.total(Accounting::kNeeded);
  EXPECT_EQ(needed.products.accumulates, 0);
  EXPECT_EQ(needed.weights, 300 * 12 * 9);
  EXPECT_GT(needed.elementwise.macs, 0);
}

TEST(Energy, WithoutNeuronsThePaperAgreesWithTheTwin) {
  const Tiny model(tiny("rwkv"));
  const EnergyAccount account(model.config, model.parameters.data(), model.tokens);
  EXPECT_EQ(account.total(Accounting::kPaper).products, account.total(Accounting::kTwin).products);
  EXPECT_EQ(account.total(Accounting::kNeeded).elementwise, account.total(Accounting::kTwin).elementwise);
}

TEST(Energy, ATransformerPaysForItsContext) {
  const ModelConfig config = tiny("rwkv");
  EXPECT_EQ(transformer_macs(config, 0), 2 * 12 * 144 + 9 * 12);
  EXPECT_EQ(transformer_macs(config, 100) - transformer_macs(config, 0), 2 * 2 * 100 * 12);
}

TEST(Prices, TablesAndFiles) {
  const PriceTable prices = load_prices("45nm");
  EXPECT_EQ(prices.mac, 4.6);
  EXPECT_EQ(prices.accumulate, 0.9);
  EXPECT_NEAR(energy({.macs = 10, .accumulates = 100}, prices), 136e-12, 1e-24);
  EXPECT_LT(load_prices("7nm").mac, prices.mac);
  EXPECT_DOUBLE_EQ(load_prices("fpga").mac, 2.0 * load_prices("fpga").accumulate);
  EXPECT_THROW(load_prices("3nm"), Error);
}

}  // namespace
}  // namespace spikegpt::test
