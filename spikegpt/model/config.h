// What fixes the shape and the mathematics of a model: the content of config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/neurons/kinds.h"

namespace spikegpt {

// The network of a model. Field names are those of the reference code (SPEC.md 1-8).
struct ModelConfig {
  std::string arch = "spikegpt";
  std::string model_type = "RWKV";
  int n_layer = 12;
  int n_embd = 512;
  int vocab_size = 0;
  int ctx_len = 1024;
  bool binary_embedding = true;
  bool event_head = false;
  bool published_rescale = false;
  double dropout = 0.03;
  // The neuron.
  double tau = 2.0;
  double v_threshold = 1.0;
  std::optional<double> v_reset = 0.0;
  bool decay_input = true;
  bool detach_reset = false;
  int spike_levels = 1;
  bool signed_spikes = false;
  bool squared_current = false;
  bool attention_norm = false;
  bool learnable_tau = false;
  std::string surrogate = "atan";
  double alpha = 2.0;
  // What files of the first versions do not have: written only where it is not as here.
  std::string token_shift = "before";
  std::string neuron = "lif";
  std::map<std::string, std::string> neurons;
  int payload_steps = 0;
  std::vector<std::string> payload_places;
  bool learned_per_neuron = false;
  double surrogate_beta = 1.0;
  NeuronSettings neuron_settings;

  int hidden_size() const { return 4 * n_embd; }
  bool operator==(const ModelConfig&) const = default;

  // Calls visitor(key, field, help) for every field, in the order of config.json.
  // The one list that JSON, TOML, flags and help read.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("arch", self.arch, "spikegpt, rwkv (no neurons) or event (every product reads spikes)");
    visitor("model_type", self.model_type, "RWKV, or RWKV-ffnPre: block 0 has a channel mix as time mix");
    visitor("n_layer", self.n_layer, "number of blocks");
    visitor("n_embd", self.n_embd, "channels C");
    visitor("vocab_size", self.vocab_size, "vocabulary size V; 0 = that of the tokenizer");
    visitor("ctx_len", self.ctx_len, "tokens per training window T");
    visitor("binary_embedding", self.binary_embedding, "embed tokens as spikes: heaviside(E[token])");
    visitor("event_head", self.event_head, "arch event: a neuron in front of the head too");
    visitor("published_rescale", self.published_rescale,
            "inference as the published script does it: halve the stream every 6 blocks (SPEC.md 10)");
    visitor("dropout", self.dropout, "probability of dropping a block output while training");
    visitor("tau", self.tau, "membrane time constant [tokens], > 1 unless decay_input is false");
    visitor("v_threshold", self.v_threshold, "membrane potential at which a neuron fires");
    visitor("v_reset", self.v_reset, "potential after a spike; none (JSON null) = subtract the threshold");
    visitor("decay_input", self.decay_input, "divide the input by tau as well");
    visitor("detach_reset", self.detach_reset, "no gradient through the reset");
    visitor("spike_levels", self.spike_levels, "spikes a neuron may send per token: one per v_threshold it reaches");
    visitor("signed_spikes", self.signed_spikes,
            "potentials below -v_threshold send negative spikes (not in hidden layers)");
    visitor("squared_current", self.squared_current, "arch event: hidden neurons read relu(k)^2 instead of k");
    visitor("attention_norm", self.attention_norm,
            "arch event: a LayerNorm in front of the neurons that read sigmoid(r) * wkv");
    visitor("learnable_tau", self.learnable_tau, "every neuron learns its own time constant, from tau on (PLIF)");
    visitor("surrogate", self.surrogate, "gradient of a spike: atan, sigmoid, erf, ...");
    visitor("alpha", self.alpha, "steepness of the surrogate");
    visit_optional(self, visitor);
  }
  template <class Self, class Visitor>
  static void visit_optional(Self& self, Visitor&& visitor) {
    visitor("token_shift", self.token_shift,
            "before: projections read mixed tokens; after: their outputs are mixed, an event is fetched once");
    visitor("neuron", self.neuron, "kind of the neurons: lif, plif, if, qif, eif, izhikevich, klif, alif, clif, ...");
    visitor("neurons", self.neurons, "kinds by place, as lif1=qif,lif2=lif; event: att_in, att_out, ffn_in, ...");
    visitor("payload_steps", self.payload_steps,
            "graded events: silent below v_threshold, beyond it the potential in steps of v_threshold / this; 0 = unit "
            "events");
    visitor("payload_places", self.payload_places,
            "where payload_steps counts, if it is not 0: att_in, ffn_in, ...; empty = everywhere");
    visitor("learned_per_neuron", self.learned_per_neuron,
            "plif, klif, sliding_psn: what is learned is of each neuron, not of a layer");
    visitor("surrogate_beta", self.surrogate_beta, "second setting of the surrogates that have one");
    NeuronSettings::visit(self.neuron_settings, [&](NeuronKind, const char* key, auto& field, const char* help, auto,
                                                    auto) { visitor(key, field, help); });
  }
  static bool is_optional(std::string_view key) {
    bool found = false;
    const ModelConfig any;
    visit_optional(any, [&](const char* name, const auto&, const char*) { found |= key == name; });
    return found;
  }
};

// Throws Error (kInvalidArgument) that names the key, its value and what is expected.
void validate(const ModelConfig& config);

// Sets arch-dependent defaults: `rwkv` has no binary embedding, `event` the form that docs/event.md found best.
ModelConfig default_config(const std::string& arch);

// default_config(arch) with the size of another model: layers, channels, context, vocabulary, and whether block 0 has
// an ffnPre.
ModelConfig default_config(const std::string& arch, const ModelConfig& size);

// A named size of SPEC.md 8: sets n_layer, n_embd, ctx_len (and vocab_size where the size fixes it).
// Throws Error (kInvalidArgument) that lists the names.
void apply_preset(const std::string& name, ModelConfig& config);

// The names apply_preset knows, with a line of explanation each.
struct Preset {
  const char* name;
  int n_layer;
  int n_embd;
  int ctx_len;
  int vocab_size;  // 0 = that of the tokenizer
  const char* about;
};
std::span<const Preset> presets();

// Throws Error: kCorruptFile, kInvalidArgument for unknown keys and impossible values. `where` names the text.
ModelConfig config_from_json(std::string_view text, std::string_view where);
std::string config_to_json(const ModelConfig& config);

// config.json. Throws as config_from_json, and kNotFound or kIo.
ModelConfig load_config(const std::filesystem::path& path);
void save_config(const ModelConfig& config, const std::filesystem::path& path);

// What the neurons of a configuration share.
LifParameters lif_parameters(const ModelConfig& config);
// The neurons at a place: "lif1", "att_in", ... (site_places in architecture.h).
NeuronParameters neuron_parameters(const ModelConfig& config, const std::string& place);

}  // namespace spikegpt
