#include "spikegpt/model/config.h"

#include <array>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/json_fields.h"
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

void check_choice(std::string_view key, const std::string& value, std::initializer_list<const char*> choices) {
  std::string names;
  for (const char* choice : choices) {
    if (value == choice) return;
    names += names.empty() ? choice : std::string(", ") + choice;
  }
  check_setting(false, key, "\"" + value + "\"", "one of " + names);
}

void check_range(std::string_view key, int value, int low, int high) {
  check_setting(value >= low && value <= high, key, value, fmt::format("{} to {}", low, high));
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
  surrogate_kind(config.surrogate);
  check_setting(config.alpha > 0.0, "alpha", config.alpha, "a positive number");
}

std::string arch_of(const Json& json) {
  const auto found = json.find("arch");
  return found != json.end() && found->is_string() ? found->get<std::string>() : "spikegpt";
}

// What a file means that does not say everything: files of the first version have no graded neurons.
ModelConfig first_config(const std::string& arch) {
  ModelConfig config;
  config.arch = arch;
  config.binary_embedding = arch != "rwkv";
  return config;
}

}  // namespace

void validate(const ModelConfig& config) {
  check_choice("arch", config.arch, {"spikegpt", "rwkv", "event"});
  check_choice("model_type", config.model_type, {"RWKV", "RWKV-ffnPre"});
  check_range("n_layer", config.n_layer, 0, 1000);
  check_range("n_embd", config.n_embd, 1, 65536);
  check_range("vocab_size", config.vocab_size, 1, 1 << 24);
  check_range("ctx_len", config.ctx_len, 1, 1 << 20);
  check_setting(config.dropout >= 0.0 && config.dropout < 1.0, "dropout", config.dropout, "a probability below 1");
  check_neuron(config);
  check_setting(!config.event_head || config.is_event(), "event_head", config.event_head, "false unless arch is event");
  check_setting(!config.learnable_tau || config.arch != "rwkv", "learnable_tau", config.learnable_tau,
                "false for arch rwkv, which has no neurons");
  check_setting(!config.attention_norm || config.is_event(), "attention_norm", config.attention_norm,
                "false unless arch is event");
}

ModelConfig default_config(const std::string& arch) {
  ModelConfig config = first_config(arch);
  if (config.is_event()) {
    config.v_reset.reset();
    config.spike_levels = 8;
    config.signed_spikes = true;
    config.squared_current = true;
    config.alpha = 1.0;
    config.binary_embedding = false;
  }
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
  ModelConfig config = first_config(arch_of(json));
  read_fields(json, where, config);
  try {
    validate(config);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}: {}", where, error.what());
  }
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
  lif.surrogate = {surrogate_kind(config.surrogate), static_cast<float>(config.alpha)};
  return lif;
}

}  // namespace spikegpt
