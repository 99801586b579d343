#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/recurrent_state.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct InspectFlags {
  explicit InspectFlags(Flags& app) {
    app.add("model", folder, "folder of the model");
    app.add_switch("--presets", presets, "list the named sizes instead");
    app.add_switch("--json", json, "print one JSON object");
  }
  std::filesystem::path folder;
  bool presets = false;
  bool json = false;
};

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

constexpr int kExampleVocabulary = 205;

std::int64_t parameter_count(const Preset& preset) {
  ModelConfig config;
  config.vocab_size = kExampleVocabulary;
  apply_preset(preset.name, config);
  return ParameterLayout(config).parameter_count();
}

int print_presets_json() {
  Json json = Json::array();
  for (const Preset& preset : presets()) {
    json.push_back({{"name", preset.name},
                    {"n_layer", preset.n_layer},
                    {"n_embd", preset.n_embd},
                    {"ctx_len", preset.ctx_len},
                    {"vocab_size", preset.vocab_size},
                    {"parameters", parameter_count(preset)},
                    {"about", preset.about}});
  }
  fmt::print("{}\n", Json{{"presets", json}}.dump(2));
  return 0;
}

int print_presets() {
  fmt::print("{:<8} {:>3} {:>5} {:>6} {:>7} {:>12}\n", "preset", "L", "C", "T", "V", "parameters");
  for (const Preset& preset : presets()) {
    fmt::print("{:<8} {:>3} {:>5} {:>6} {:>7} {:>12}  {}\n", preset.name, preset.n_layer, preset.n_embd, preset.ctx_len,
               preset.vocab_size > 0 ? std::to_string(preset.vocab_size) : "text",
               quantity(static_cast<double>(parameter_count(preset))), preset.about);
  }
  fmt::print("V = text: as many as the tokenizer finds; parameters are then for V = {}.\n", kExampleVocabulary);
  return 0;
}

struct Summary {
  double mean = 0.0;
  double std = 0.0;
};

Summary summarise(const float* values, std::int64_t count) {
  double sum = 0.0;
  double squares = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += static_cast<double>(values[i]);
    squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  const auto n = static_cast<double>(count);
  return {sum / n, std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)))};
}

void print_json(const StoredModel& model, const ParameterLayout& layout) {
  Json json;
  json["config"] = fields_to_json(model.config);
  json["parameters"] = layout.parameter_count();
  json["state_bytes"] = RecurrentState(model.config, 1).size_in_bytes();
  for (const ParameterInfo& info : layout.infos()) {
    const Summary summary = summarise(model.parameters.data() + info.offset, info.size);
    json["tensors"].push_back(
        {{"name", info.name}, {"shape", info.shape}, {"mean", summary.mean}, {"std", summary.std}});
  }
  for (const SpikeSite& site : spike_sites(model.config)) {
    json["spike_sites"].push_back({{"name", site.name}, {"neurons", site.neurons}});
    const NeuronParameters neuron = neuron_parameters(model.config, site.place);
    if (neuron.kind != NeuronKind::kLif) json["spike_sites"].back()["kind"] = info_of(neuron.kind).name;
  }
  fmt::print("{}\n", json_text(json, 2));
}

void print_configuration(const ModelConfig& config) {
  fmt::print("configuration\n");
  const Json shown = fields_to_json(config);
  ModelConfig::visit(config, [&](const char* key, const auto& field, const char* help) {
    if (!shown.contains(key)) return;
    fmt::print("  {:<17} {:<12} {}\n", key, detail::to_json_value(field).dump(), help);
  });
}

// What `quantize` made: its weights are for decoding only.
int inspect_packed(const InspectFlags& flags) {
  const PackedModel model = open_model(flags.folder);
  const std::size_t state = RecurrentState(model.config(), 1).size_in_bytes();
  if (flags.json) {
    const Json json = {{"config", fields_to_json(model.config())},
                       {"packed", name_of(model.type())},
                       {"packed_bytes", model.size_in_bytes()},
                       {"state_bytes", state}};
    fmt::print("{}\n", json_text(json, 2));
    return 0;
  }
  const auto tokenizer = load_tokenizer(flags.folder, model.config().vocab_size);
  fmt::print("{}: arch {}, packed for decoding in {}, tokenizer {} ({} tokens)\n\n", flags.folder.string(),
             model.config().arch, name_of(model.type()), tokenizer->kind(), tokenizer->vocab_size());
  print_configuration(model.config());
  fmt::print("\npacked        {:>12}  bytes; the parameters are in the folder that it was made of\n",
             model.size_in_bytes());
  fmt::print("state         {:>12}  bytes per text, whatever its length\n", state);
  return 0;
}

void print_table(const StoredModel& model, const ParameterLayout& layout) {
  print_configuration(model.config);
  fmt::print("\n{:<34} {:<16} {:>12} {:>10} {:>10}\n", "parameter", "shape", "size", "mean", "std");
  for (const ParameterInfo& info : layout.infos()) {
    const Summary summary = summarise(model.parameters.data() + info.offset, info.size);
    fmt::print("{:<34} {:<16} {:>12} {:>10.4f} {:>10.4f}\n", info.name,
               fmt::format("[{}]", fmt::join(info.shape, ", ")), info.size, summary.mean, summary.std);
  }
  const auto floats = static_cast<std::size_t>(layout.parameter_count());
  std::int64_t neurons = 0;
  for (const SpikeSite& site : spike_sites(model.config)) neurons += site.neurons;
  fmt::print("\nparameters    {:>12}  ({:.1f} MB as float32)\n", layout.parameter_count(),
             megabytes(floats * sizeof(float)));
  fmt::print("neurons       {:>12}\n", neurons);
  fmt::print("state         {:>12}  bytes per text, whatever its length\n",
             RecurrentState(model.config, 1).size_in_bytes());
}

int inspect(const InspectFlags& flags) {
  if (flags.presets) return flags.json ? print_presets_json() : print_presets();
  if (flags.folder.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "expected the folder of a model, or --presets");
  }
  if (is_packed_folder(flags.folder)) return inspect_packed(flags);
  const StoredModel model = load_model(flags.folder);
  const ParameterLayout layout(model.config);
  if (flags.json) {
    print_json(model, layout);
    return 0;
  }
  const auto tokenizer = load_tokenizer(flags.folder, model.config.vocab_size);
  fmt::print("{}: arch {}, tokenizer {} ({} tokens)\n\n", flags.folder.string(), model.config.arch, tokenizer->kind(),
             tokenizer->vocab_size());
  print_table(model, layout);
  return 0;
}

}  // namespace

std::function<int()> add_inspect(Flags& app) {
  app.footer("Examples:\n  spikegpt inspect my-model\n  spikegpt inspect --presets");
  auto flags = std::make_shared<InspectFlags>(app);
  return [flags] { return inspect(*flags); };
}

}  // namespace spikegpt::cli
