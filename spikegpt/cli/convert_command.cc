#include <fmt/format.h>

#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/import.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct ConvertFlags {
  explicit ConvertFlags(CLI::App& app) : model(app, "What the tensors do not tell") {
    app.add_option("weights", weights, "checkpoint: .pth of torch.save (old ones too), or .safetensors")
        ->required();
    app.add_option("out", out, "folder for the model")->required();
    app.add_option("--tokenizer", tokenizer,
                   "tokenizer.json, or a character vocabulary (JSON id -> character, UTF-8 or UTF-16); else bytes "
                   "where V is 256");
  }
  std::filesystem::path weights;
  std::filesystem::path out;
  std::filesystem::path tokenizer;
  FieldFlags<ModelConfig> model;
};

std::unique_ptr<Tokenizer> tokenizer_for(const ConvertFlags& flags, const ModelConfig& config) {
  if (!flags.tokenizer.empty()) return load_tokenizer(flags.tokenizer, config.vocab_size);
  return config.vocab_size == 256 ? make_tokenizer("bytes", "") : nullptr;
}

int convert(const ConvertFlags& flags) {
  refuse_used_folder(flags.out, "choose another folder", flags.tokenizer);
  const WeightFile file = read_weights(flags.weights);
  ModelConfig config = default_config(flags.model.given("arch") ? flags.model.values().arch : "spikegpt");
  infer_config(file, config);
  flags.model.apply(config);
  validate(config);
  const ParameterLayout layout(config);
  const AlignedBuffer<float> parameters = read_parameters(file, layout, {.asked_by = ""});
  const auto tokenizer = tokenizer_for(flags, config);
  make_folder(flags.out);
  if (tokenizer) tokenizer->save(flags.out);
  save_model(flags.out, config, parameters.data());

  fmt::print("{} {} x {}, vocabulary of {}, {} parameters, {}: in {}\n", config.arch, config.n_layer, config.n_embd,
             config.vocab_size, quantity(static_cast<double>(layout.parameter_count())), config.model_type,
             flags.out.string());
  if (!tokenizer) {
    fmt::print(stderr,
               "spikegpt: no tokenizer given: generate and eval will need tokenizer.json or vocab.json in {} "
               "(--tokenizer FILE)\n",
               flags.out.string());
  }
  return 0;
}

}  // namespace

std::function<int()> add_convert(CLI::App& app) {
  app.footer(
      "Number and width of the layers, vocabulary and ffnPre are read off the tensors; flags override. "
      "Prefixes of\n"
      "all names (module., model., _orig_mod.) are taken off; of a training checkpoint the model is taken. "
      "The pickle in\n"
      "a .pth is read by a reader that knows tensors and nothing else: it executes nothing. Example:\n"
      "  spikegpt convert SpikeGPT-216M.pth my-model --tokenizer 20B_tokenizer.json");
  auto flags = std::make_shared<ConvertFlags>(app);
  return [flags] { return convert(*flags); };
}

}  // namespace spikegpt::cli
