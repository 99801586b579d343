#include <fmt/format.h>

#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/neuron_response.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"

namespace spikegpt::cli {
namespace {

// Settings of models that say nothing about one neuron.
std::vector<std::string> not_of_a_neuron() {
  std::vector<std::string> hidden = {"neuron", "neurons", "learned_per_neuron", "surrogate", "alpha",
                                     "surrogate_beta", "detach_reset"};
  const ModelConfig config;
  bool is_neuron = false;
  ModelConfig::visit(config, [&](const char* key, const auto&, const char*) {
    is_neuron = is_neuron || std::string_view(key) == "tau";
    if (!is_neuron) hidden.emplace_back(key);
  });
  hidden.insert(hidden.end(), {"squared_current", "attention_norm", "learnable_tau", "token_shift", "payload_places"});
  return hidden;
}

struct NeuronFlags {
  explicit NeuronFlags(Flags& app) : settings(app, "Neuron", not_of_a_neuron()) {
    app.add("--kind", kinds, "kind of the neuron, several as lif,qif, or all").separated_by(',');
    app.add("--current", current, "what it reads: step:1.5, noise, noise:SEED or a file of numbers").show_default();
    app.add("--tokens", tokens, "length of step and noise").show_default().between(1, 100000);
    app.add("--plot", plot, "picture of its potential, threshold and spikes: a .svg or .png file");
    add_force_flag(app, force);
  }
  std::vector<std::string> kinds = {"lif"};
  std::string current = "step:1.5";
  int tokens = 60;
  std::filesystem::path plot;
  bool force = false;
  FieldFlags<ModelConfig> settings;
};

std::vector<std::string> kinds_of(const NeuronFlags& flags) {
  if (flags.kinds != std::vector<std::string>{"all"}) return flags.kinds;
  std::vector<std::string> all;
  for (const NeuronInfo* info : kKinds) all.emplace_back(info->name);
  return all;
}

NeuronResponse response_of(const NeuronFlags& flags, const std::string& kind, std::span<const float> current) {
  ModelConfig config = default_config("spikegpt");
  config.vocab_size = 1;
  config.neuron = kind;
  flags.settings.apply(config);
  validate(config);
  return neuron_response(config, current);
}

void print(std::span<const float> current, const NeuronResponse& response) {
  fmt::print("{}: {}\n{:>6} {:>12} {:>12} {:>12} {:>6}\n", response.kind, response.about, "token", "current",
             "potential", "threshold", "sent");
  for (std::size_t t = 0; t < current.size(); ++t) {
    fmt::print("{:>6} {:>12.6g} {:>12.6g} {:>12.6g} {:>6g}\n", t, current[t], response.potential[t],
               response.threshold[t], response.sent[t]);
  }
}

int neuron(const NeuronFlags& flags) {
  if (!flags.plot.empty()) {
    plot_format(flags.plot);
    refuse_other_file(flags.plot, kPictureMark, flags.force);
  }
  const std::vector<float> current = input_current(flags.current, flags.tokens);
  std::vector<NeuronResponse> responses;
  for (const std::string& kind : kinds_of(flags)) responses.push_back(response_of(flags, kind, current));
  if (flags.plot.empty()) {
    for (const NeuronResponse& response : responses) print(current, response);
    return 0;
  }
  const PlotFormat format = plot_format(flags.plot);
  write_text_atomically(flags.plot, response_picture(current, responses).draw(format));
  fmt::print("{}\n", flags.plot.string());
  return 0;
}

}  // namespace

std::function<int()> add_neuron(Flags& app) {
  app.footer(
      "The potential is the charged one, before the neuron may fire. Kinds and settings:\ndocs/neurons.md.\n\n"
      "Examples:\n  spikegpt neuron --kind izhikevich --plot neuron.svg\n"
      "  spikegpt neuron --kind lif,alif --current noise --tokens 30");
  auto flags = std::make_shared<NeuronFlags>(app);
  return [flags] { return neuron(*flags); };
}

}  // namespace spikegpt::cli
