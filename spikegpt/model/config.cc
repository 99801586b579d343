#include "spikegpt/model/config.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/neurons/surrogate.h"

namespace spikegpt {
namespace {

constexpr std::array<Preset, 6> kPresets = {{
    {"nano", 2, 64, 64, 0, "0.1 M in the blocks; for trying things out in seconds"},
    {"tiny", 4, 256, 256, 0, "3.4 M in the blocks; learns to spell in minutes on a laptop"},
    {"45m", 12, 512, 1024, 0, "41.2 M in the blocks; the enwik8 model of the paper"},
    {"125m", 12, 768, 1024, 0, "92 M in the blocks; 125 M class with a mid-sized tokenizer"},
    {"216m", 18, 768, 1024, 50277, "215.4 M with the GPT-NeoX vocabulary; the official checkpoint"},
    {"260m", 24, 768, 1024, 50277, "261 M with the GPT-NeoX vocabulary"},
}};

void check_range(std::string_view key, int value, int low, int high) {
  check_setting(value >= low && value <= high, key, value, fmt::format("{} to {}", low, high));
}

void check_way_to_fire(const ModelConfig& config) {
  check_range("payload_steps", config.payload_steps, 0, 64);
  if (config.payload_steps == 0) return;
  check_setting(!config.v_reset, "v_reset", config.v_reset.value_or(0.0),
                "none with payload_steps: the reset takes away what was sent");
  check_setting(config.spike_levels == 1 || !config.payload_places.empty(), "spike_levels", config.spike_levels,
                "1 with payload_steps, unless payload_places leaves some neurons without it: a dead zone has one "
                "threshold");
}

// The kinds that stand somewhere in the model. Throws for names that are none, and for places that it has not.
std::set<NeuronKind> kinds_of(const ModelConfig& config) {
  const std::vector<std::string> places = site_places(config);
  std::set<NeuronKind> kinds;
  for (const auto& [place, kind] : config.neurons) {
    check_setting(std::find(places.begin(), places.end(), place) != places.end(), "neurons", place + "=" + kind,
                  places.empty() ? fmt::format("nothing for arch {}, which has no neurons", config.arch)
                                 : fmt::format("places of this model: {}", fmt::join(places, ", ")));
    neuron_kind(kind);
  }
  neuron_kind(config.neuron);
  for (const std::string& place : config.payload_places) {
    const std::vector<std::string> known = arch_places(config);
    check_setting(std::find(known.begin(), known.end(), place) != known.end(), "payload_places", place,
                  known.empty() ? fmt::format("nothing for arch {}, which has no neurons", config.arch)
                                : fmt::format("places of arch {}: {}", config.arch, fmt::join(known, ", ")));
  }
  for (const std::string& place : places) kinds.insert(neuron_parameters(config, place).kind);
  return kinds;
}

void check_kinds(const ModelConfig& config) {
  const std::set<NeuronKind> kinds = kinds_of(config);
  check_setting(config.neuron == "lif" || !kinds.empty(), "neuron", config.neuron,
                fmt::format("lif for arch {}, which has no neurons", config.arch));
  const ModelConfig usual;
  NeuronSettings settings = usual.neuron_settings;
  std::map<std::string, Json> defaults;
  NeuronSettings::visit(settings, [&](NeuronKind, const char* key, auto& field, const char*, auto, auto) {
    defaults[key] = Json(field);
  });
  NeuronSettings::visit(config.neuron_settings, [&](NeuronKind kind, const char* key, const auto& field, const char*,
                                                    auto least, auto most) {
    const auto value = static_cast<double>(field);
    check_setting(value >= static_cast<double>(least) && value <= static_cast<double>(most), key, value,
                  fmt::format("{} to {}", least, most));
    check_setting(kinds.contains(kind) || Json(field) == defaults[key], key, value,
                  fmt::format("{}, as it is without this setting: no neuron of this model is a {}",
                              defaults[key].dump(), info_of(kind).name));
  });
  const auto used = [&](unsigned what) {
    return std::any_of(kinds.begin(), kinds.end(), [&](NeuronKind kind) { return (info_of(kind).uses & what) != 0; });
  };
  const auto only_with = [&](bool holds, const char* key, const auto& value, unsigned what) {
    check_setting(kinds.empty() || holds || used(what), key, value,
                  fmt::format("what it is without this setting: neurons of kind {} do not have it", config.neuron));
  };
  only_with(config.tau == usual.tau, "tau", config.tau, kUsesTau);
  only_with(config.decay_input, "decay_input", config.decay_input, kUsesDecayInput);
  only_with(!config.detach_reset, "detach_reset", config.detach_reset, kUsesReset);
  check_setting(!config.learnable_tau || kinds.contains(NeuronKind::kParametricLif) || kinds.empty(), "learnable_tau",
                true, "false unless some neurons are lif (those of kind plif always learn it)");
  check_setting(!kinds.contains(NeuronKind::kParametricLif) || config.tau > 1.0, "tau", config.tau,
                "more than 1 token with plif");
  const bool learns = std::any_of(kinds.begin(), kinds.end(), [](NeuronKind k) { return !info_of(k).learned.empty(); });
  check_setting(!config.learned_per_neuron || learns, "learned_per_neuron", true,
                "false unless some neurons are plif, klif or sliding_psn");
}

void check_neuron(const ModelConfig& config) {
  check_setting(config.tau >= 1.0, "tau", config.tau, "a time constant of at least 1 token");
  check_setting(config.v_threshold > config.v_reset.value_or(0.0), "v_threshold", config.v_threshold,
                "a potential above v_reset");
  check_range("spike_levels", config.spike_levels, 1, 16);
  check_setting(!config.v_reset || (config.spike_levels == 1 && !config.signed_spikes), "v_reset",
                config.v_reset.value_or(0.0),
                "none with spike_levels above 1 or signed_spikes: every spike takes one threshold away");
  check_setting(!config.learnable_tau || config.tau > 1.0, "tau", config.tau, "more than 1 token with learnable_tau");
  check_surrogate(lif_parameters(config).surrogate);
  check_way_to_fire(config);
  check_kinds(config);
}

std::string arch_of(const Json& json) {
  const auto found = json.find("arch");
  return found != json.end() && found->is_string() ? found->get<std::string>() : "spikegpt";
}

// What a file means that does not say everything: files of the first version have no graded neurons.
ModelConfig first_config(const std::string& arch) {
  ModelConfig config;
  config.arch = arch;
  config.binary_embedding = architecture_of(arch).binary_embedding;
  return config;
}

}  // namespace

void validate(const ModelConfig& config) {
  const Architecture& architecture = architecture_of(config);
  check_range("n_layer", config.n_layer, 0, 1000);
  check_range("n_embd", config.n_embd, 1, 65536);
  check_range("vocab_size", config.vocab_size, 1, 1 << 24);
  check_range("ctx_len", config.ctx_len, 1, 1 << 20);
  check_setting(config.token_shift == "before" || config.token_shift == "after", "token_shift",
                "\"" + config.token_shift + "\"", "before or after");
  check_setting(config.dropout >= 0.0 && config.dropout < 1.0, "dropout", config.dropout, "a probability below 1");
  check_neuron(config);
  check_setting(!config.event_head || architecture.head != nullptr, "event_head", config.event_head,
                "false unless arch is event");
  check_setting(!config.learnable_tau || !site_places(config).empty() || config.n_layer == 0, "learnable_tau",
                config.learnable_tau, fmt::format("false for arch {}, which has no neurons", config.arch));
  check_setting(!config.attention_norm || architecture.reads_spikes(), "attention_norm", config.attention_norm,
                "false unless arch is event");
}

ModelConfig default_config(const std::string& arch) {
  ModelConfig config = first_config(arch);
  if (const auto set_defaults = architecture_of(arch).set_defaults) set_defaults(config);
  return config;
}

ModelConfig default_config(const std::string& arch, const ModelConfig& size) {
  ModelConfig config = default_config(arch);
  config.model_type = size.model_type;
  config.n_layer = size.n_layer;
  config.n_embd = size.n_embd;
  config.ctx_len = size.ctx_len;
  config.vocab_size = size.vocab_size;
  return config;
}

std::span<const Preset> presets() { return kPresets; }

void apply_preset(const std::string& name, ModelConfig& config) {
  std::string names;
  for (const Preset& preset : kPresets) {
    names += names.empty() ? preset.name : std::string(", ") + preset.name;
    if (name != preset.name) continue;
    config.n_layer = preset.n_layer;
    config.n_embd = preset.n_embd;
    config.ctx_len = preset.ctx_len;
    if (preset.vocab_size != 0) config.vocab_size = preset.vocab_size;
    return;
  }
  check_setting(false, "preset", "\"" + name + "\"", "one of " + names);
}

ModelConfig config_from_json(std::string_view text, std::string_view where) {
  refuse_foreign(text, where);
  const Json json = parse_bounded_json(text);
  if (!json.is_object()) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected a JSON object with the model's configuration", where);
  }
  const auto naming_where = [&](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      throw Error(error.kind(), "{}: {}", where, error.what());
    }
  };
  ModelConfig config;
  naming_where([&] { config = first_config(arch_of(json)); });
  read_fields(json, where, config);
  naming_where([&] { validate(config); });
  return config;
}

std::string config_to_json(const ModelConfig& config) {
  const Json json = fields_to_json(config);
  return json.dump(2) + "\n";
}

ModelConfig load_config(const std::filesystem::path& path) {
  const MappedFile file(path);
  return config_from_json(PlainText(file.text(), path.string()).text(), path.string());
}

void save_config(const ModelConfig& config, const std::filesystem::path& path) {
  write_text_atomically(path, config_to_json(config));
}

LifParameters lif_parameters(const ModelConfig& config) {
  LifParameters lif;
  lif.tau = static_cast<float>(config.tau);
  lif.v_threshold = static_cast<float>(config.v_threshold);
  lif.v_reset = static_cast<float>(config.v_reset.value_or(0.0));
  lif.hard_reset = config.v_reset.has_value();
  lif.decay_input = config.decay_input;
  lif.detach_reset = config.detach_reset;
  lif.levels = config.spike_levels;
  lif.is_signed = config.signed_spikes;
  lif.payload_steps = config.payload_steps;
  lif.surrogate = {surrogate_kind(config.surrogate), static_cast<float>(config.alpha),
                   static_cast<float>(config.surrogate_beta)};
  return lif;
}

NeuronParameters neuron_parameters(const ModelConfig& config, const std::string& place) {
  NeuronParameters neuron(lif_parameters(config));
  const auto chosen = config.neurons.find(place);
  neuron.kind = neuron_kind(chosen == config.neurons.end() ? config.neuron : chosen->second);
  if (neuron.kind == NeuronKind::kLif && config.learnable_tau) neuron.kind = NeuronKind::kParametricLif;
  neuron.own = config.neuron_settings;
  const std::vector<std::string>& payload = config.payload_places;
  if (payload.empty()) return neuron;
  if (std::find(payload.begin(), payload.end(), place) == payload.end()) {
    neuron.payload_steps = 0;
  } else {
    neuron.levels = 1;
  }
  return neuron;
}

}  // namespace spikegpt
