// Every kind of neuron inside a model: at every place, in pieces as in one pass, in files, and what is
// refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "spikegpt/core/random.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/recurrent_state.h"
#include "tests/support/model_case.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

ModelConfig small(const std::string& arch) {
  ModelConfig config = default_form(arch);
  config.n_layer = 2;
  config.n_embd = 9;
  config.vocab_size = 11;
  config.ctx_len = 12;
  config.dropout = 0.0;
  if (arch == std::string("spikegpt")) config.v_threshold = 0.05;  // what so small a model reaches
  return config;
}

// Models of every kind, alone and mixed, in both architectures and several ways to fire.
std::vector<ModelConfig> models() {
  std::vector<ModelConfig> all;
  for (const NeuronInfo* info : kKinds) {
    for (const char* arch : {"spikegpt", "event"}) {
      ModelConfig config = small(arch);
      config.neuron = info->name;
      all.push_back(config);
    }
  }
  ModelConfig mixed = small("event");
  mixed.event_head = true;
  mixed.neurons = {
      {"att_in", "alif"}, {"att_out", "sliding_psn"}, {"ffn_hidden", "izhikevich"}, {"head_in", "klif"}};
  mixed.neuron_settings.izhikevich.b = 0.1;
  all.push_back(mixed);
  mixed.spike_levels = 1;
  mixed.payload_steps = 4;
  mixed.payload_places.clear();
  mixed.learned_per_neuron = true;
  all.push_back(mixed);
  ModelConfig pre = small("event");
  pre.model_type = "RWKV-ffnPre";
  pre.neurons = {{"pre_hidden", "clif"}, {"pre_in", "alif"}};
  all.push_back(pre);
  return all;
}

class NeuronKinds : public testing::Test {
 protected:
  NeuronKinds() : random_(8, RandomPurpose::kBatch) {
    for (int i = 0; i < 12; ++i) {
      tokens_.push_back(static_cast<std::int32_t>(random_.next_below(11)));
      targets_.push_back(static_cast<std::int32_t>(random_.next_below(11)));
    }
  }
  void start(const ModelConfig& config) {
    SCOPED_TRACE(config_to_json(config));
    validate(config);
    parameters_.emplace(config);
    initialise(config, InitKind::kDefault, 5, parameters_->data());
    for (const ParameterInfo& info : parameters_->layout().infos()) {
      for (float& value : parameters_->of(info)) value += static_cast<float>(0.1 * random_.next_normal());
    }
    NetworkOptions options;
    options.plan = {1, 12, true, false};
    network_ = make_network(config, options);
    network_->set_parameters(parameters_->data());
  }

  RandomStream random_;
  std::vector<std::int32_t> tokens_;
  std::vector<std::int32_t> targets_;
  std::optional<FlatParameters> parameters_;
  std::unique_ptr<TrainableNetwork> network_;
};

TEST_F(NeuronKinds, InPiecesAsInOnePass) {
  double sent = 0.0;
  for (const ModelConfig& config : models()) {
    SCOPED_TRACE(config_to_json(config));
    start(config);
    SpikeRecorder whole;
    RunOptions run;
    run.probe = &whole;
    network_->forward({tokens_}, run);
    const std::size_t sites = spike_sites(config).size();
    SpikeRecorder pieces;
    RecurrentState state(config, 1);
    std::size_t token = 0;
    for (const std::size_t count : {1, 1, 5, 1, 4}) {
      RunOptions piece;
      piece.probe = &pieces;
      piece.state_in = &state;
      piece.state_out = &state;
      network_->forward({std::span(tokens_).subspan(token, count)}, piece);
      token += count;
    }
    for (std::size_t i = 0; i < sites; ++i) {
      EXPECT_EQ(whole.site(static_cast<int>(i)), pieces.site(static_cast<int>(i)))
          << spike_sites(config)[i].name;
      for (const float spike : whole.site(static_cast<int>(i))) sent += std::abs(static_cast<double>(spike));
    }
  }
  EXPECT_GT(sent, 1000.0);
}

TEST_F(NeuronKinds, WhatTheyLearnHasAGradient) {
  for (const ModelConfig& config : models()) {
    SCOPED_TRACE(config_to_json(config));
    start(config);
    FlatParameters gradients(config);
    network_->forward({tokens_}, {});
    network_->losses_and_gradients({targets_, 1.0 / 12.0}, gradients.data());
    for (const ParameterInfo& info : gradients.layout().infos()) {
      double norm = 0.0;
      for (const float g : gradients.of(info)) norm += static_cast<double>(g) * static_cast<double>(g);
      EXPECT_TRUE(std::isfinite(norm)) << info.name;
      // A place that is silent gives the weights behind it none; what neurons learn has one all the same.
      if (info.name.starts_with("spikes.")) {
        EXPECT_GT(norm, 0.0) << info.name;
      }
    }
  }
}

TEST_F(NeuronKinds, WhatTheyLearnStartsAsTheKindSays) {
  for (const bool per_neuron : {false, true}) {
    ModelConfig config = small("spikegpt");
    config.tau = 2.6;
    config.learned_per_neuron = per_neuron;
    config.neuron_settings.klif.k = 1.3;
    config.neuron_settings.sliding.taps = 3;
    const auto first = [&](const char* kind) {
      config.neuron = kind;
      FlatParameters parameters(config);
      initialise(config, InitKind::kDefault, 5, parameters.data());
      const auto& infos = parameters.layout().infos();
      const std::span<const float> values = parameters.of(infos.back());
      return std::vector<float>(values.begin(), values.end());
    };
    const std::int64_t copies = per_neuron ? 9 : 1;
    EXPECT_EQ(first("plif"), std::vector<float>(copies, static_cast<float>(-std::log(2.6 - 1.0))));
    EXPECT_EQ(first("klif"), std::vector<float>(copies, 1.3f));
    std::vector<float> taps;
    for (const float value : {0.25f, 0.5f, 1.0f, -1.0f}) taps.insert(taps.end(), copies, value);
    EXPECT_EQ(first("sliding_psn"), taps);
  }
}

TEST_F(NeuronKinds, FilesKeepTheirBytesAndTheirMeaning) {
  for (const char* arch : {"spikegpt", "event", "rwkv"}) {
    const auto json = nlohmann::ordered_json::parse(config_to_json(small(arch)));
    EXPECT_EQ(json.size(), 22u);
    EXPECT_EQ(std::prev(json.end()).key(), "alpha");
  }
  for (const ModelConfig& config : models()) {
    EXPECT_EQ(config_from_json(config_to_json(config), "here"), config) << config_to_json(config);
  }
  ModelConfig changed = small("spikegpt");
  changed.neuron = "qif";
  changed.neuron_settings.qif.v_c = 0.6;
  const auto json = nlohmann::ordered_json::parse(config_to_json(changed));
  EXPECT_EQ(json.size(), 24u);
  EXPECT_EQ(json["qif_v_c"], 0.6);
}

TEST_F(NeuronKinds, StatesHaveThePartsOfTheirKind) {
  ModelConfig config = small("spikegpt");
  config.neurons = {{"lif1", "izhikevich"}, {"lif2", "sliding_psn"}};
  config.neuron_settings.izhikevich.w_rest = 0.25;
  config.neuron_settings.sliding.taps = 3;
  const RecurrentState state(config, 2);
  std::vector<std::string> names;
  state.visit([&](const std::string& name, const float* values, std::int64_t channels) {
    if (name.find("spikes.1.") == std::string::npos) return;
    names.push_back(name);
    EXPECT_EQ(channels, 9);
    if (name.starts_with("w.")) {
      EXPECT_EQ(values[17], 0.25f);
    }
  });
  EXPECT_EQ(names, (std::vector<std::string>{"membrane.spikes.1.lif1", "w.spikes.1.lif1",
                                             "input0.spikes.1.lif2", "input1.spikes.1.lif2"}));
}

TEST_F(NeuronKinds, CheckpointsOfOtherNeuronsAreRefused) {
  const TemporaryDirectory folder;
  const auto refuses = [&](const char* stored, const char* configured, std::initializer_list<std::string_view> words) {
    ModelConfig config = small("spikegpt");
    config.neuron = stored;
    const FlatParameters parameters(config);
    save_model(folder.path(), config, parameters.data());
    config.neuron = configured;
    save_config(config, folder / "config.json");
    expect_error(ErrorKind::kCorruptFile, words, [&] { load_model(folder.path()); });
  };
  refuses("plif", "lif", {folder.path().string(), "spikes.0.lif1.leak"});
  refuses("lif", "klif", {folder.path().string(), "spikes.0.lif1.k"});
  refuses("klif", "sliding_psn", {folder.path().string(), "spikes.0.lif1."});
}

// Both ends of the range of every setting are allowed, what lies beyond is not, nor is NaN, nor another kind's setting.
TEST_F(NeuronKinds, SettingsHaveRanges) {
  ModelConfig listed = small("spikegpt");
  int settings = 0;
  NeuronSettings::visit(listed.neuron_settings, [&](NeuronKind kind, const char* key, auto& field, const char*,
                                                    auto least, auto most) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (!std::is_same_v<Field, bool>) {
      const auto usual = field;
      const auto check = [&](double value, bool is_allowed) {
        field = static_cast<Field>(value);
        listed.neuron = info_of(kind).name;
        if (is_allowed) {
          EXPECT_NO_THROW(validate(listed)) << key << " = " << value;
        } else {
          expect_error(ErrorKind::kInvalidArgument, {key}, [&] { validate(listed); });
        }
        field = usual;
      };
      check(static_cast<double>(least), true);
      check(static_cast<double>(most), true);
      check(static_cast<double>(least) - 1.0, false);
      check(static_cast<double>(most) + 1.0, false);
      if constexpr (std::is_same_v<Field, double>) check(NAN, false);
      field = static_cast<Field>(most);
      listed.neuron = "lif";
      expect_error(ErrorKind::kInvalidArgument, {key, info_of(kind).name}, [&] { validate(listed); });
      field = usual;
      ++settings;
    }
  });
  EXPECT_GE(settings, 17);
}

TEST_F(NeuronKinds, WhatDoesNotFitIsRefused) {
  const auto refuses = [](const char* arch, ErrorKind kind, std::initializer_list<std::string_view> words,
                          auto&& change) {
    ModelConfig config = small(arch);
    change(config);
    expect_error(kind, words, [&] { validate(config); });
  };
  constexpr ErrorKind kBad = ErrorKind::kInvalidArgument;
  refuses("spikegpt", kBad, {"lfi", "izhikevich"}, [](ModelConfig& c) { c.neuron = "lfi"; });
  refuses("spikegpt", ErrorKind::kUnsupported, {"psn", "later steps", "sliding_psn"},
          [](ModelConfig& c) { c.neuron = "psn"; });
  refuses("event", ErrorKind::kUnsupported, {"gated_lif", "length"},
          [](ModelConfig& c) { c.neurons["att_in"] = "gated_lif"; });
  refuses("spikegpt", kBad, {"att_in", "lif1, lif2"}, [](ModelConfig& c) { c.neurons["att_in"] = "qif"; });
  refuses("event", kBad, {"head_in", "att_in"}, [](ModelConfig& c) { c.neurons["head_in"] = "qif"; });
  refuses("rwkv", kBad, {"rwkv"}, [](ModelConfig& c) { c.neuron = "qif"; });
  refuses("rwkv", kBad, {"rwkv"}, [](ModelConfig& c) { c.neurons["lif1"] = "qif"; });
  refuses("spikegpt", kBad, {"qif_v_c", "qif"}, [](ModelConfig& c) { c.neuron_settings.qif.v_c = 0.5; });
  refuses("spikegpt", kBad, {"qif_a0"},
          [](ModelConfig& c) { c.neuron = "qif", c.neuron_settings.qif.a0 = -1.0; });
  refuses("spikegpt", kBad, {"alif_tau_a"},
          [](ModelConfig& c) { c.neuron = "alif", c.neuron_settings.adaptive.tau_a = NAN; });
  refuses("spikegpt", kBad, {"psn_taps", "1 to 32"},
          [](ModelConfig& c) { c.neuron = "sliding_psn", c.neuron_settings.sliding.taps = 33; });
  refuses("spikegpt", kBad, {"tau", "if"}, [](ModelConfig& c) { c.neuron = "if", c.tau = 3.0; });
  refuses("spikegpt", kBad, {"decay_input", "qif"},
          [](ModelConfig& c) { c.neuron = "qif", c.decay_input = false; });
  refuses("spikegpt", kBad, {"detach_reset"},
          [](ModelConfig& c) { c.neuron = "sliding_psn", c.detach_reset = true; });
  refuses("spikegpt", kBad, {"learnable_tau"},
          [](ModelConfig& c) { c.neuron = "qif", c.learnable_tau = true; });
  refuses("spikegpt", kBad, {"learned_per_neuron"}, [](ModelConfig& c) { c.learned_per_neuron = true; });
  refuses("spikegpt", kBad, {"tau", "plif"}, [](ModelConfig& c) { c.neuron = "plif", c.tau = 1.0; });
  refuses("spikegpt", kBad, {"v_reset", "payload_steps"},
          [](ModelConfig& c) { c.payload_steps = 4, c.payload_places.clear(); });
  refuses("event", kBad, {"spike_levels", "payload_steps"},
          [](ModelConfig& c) { c.payload_steps = 4, c.payload_places.clear(); });
  refuses("event", kBad, {"payload_steps"}, [](ModelConfig& c) { c.payload_steps = -1; });
  refuses("event", kBad, {"payload_places", "lif1", "att_in, att_out", "pre_in", "head_in"},
          [](ModelConfig& c) { c.payload_places = {"lif1"}; });
  refuses("rwkv", kBad, {"payload_places", "no neurons"}, [](ModelConfig& c) { c.payload_places = {"att_in"}; });
  refuses("spikegpt", kBad, {"token_shift", "behind", "before or after"},
          [](ModelConfig& c) { c.token_shift = "behind"; });
  refuses("spikegpt", kBad, {"surrogate_beta", "atan"}, [](ModelConfig& c) { c.surrogate_beta = 3.0; });
  refuses("spikegpt", kBad, {"alpha", "q_pseudo_spike"},
          [](ModelConfig& c) { c.surrogate = "q_pseudo_spike", c.alpha = 0.5; });
}

}  // namespace
}  // namespace spikegpt::test
