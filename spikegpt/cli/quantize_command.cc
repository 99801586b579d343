#include <fmt/format.h>

#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct QuantizeFlags {
  explicit QuantizeFlags(Flags& app) {
    app.add("model", folder, "folder of the model").required();
    app.add("out", out, "folder to make").required();
    app.add("--type", type, "of the weights: f32, bf16, int8 or int4").show_default();
    app.add("--head-type", head_type, "of the head alone; empty = as the others").show_default();
    app.add("--token-shift", token_shift,
            "folded: mu in the weights, rows are only added (event); separate: half the projections' size")
        .one_of({"auto", "folded", "separate"})
        .show_default();
  }
  std::filesystem::path folder;
  std::filesystem::path out;
  std::string type = "int8";
  std::string head_type;
  std::string token_shift = "auto";
};

int quantize(const QuantizeFlags& flags) {
  if (is_packed_folder(flags.folder)) {
    throw Error(ErrorKind::kInvalidArgument, "{} is quantized already; give the model it was made from",
                flags.folder.string());
  }
  refuse_used_folder(flags.out);
  const WeightType type = weight_type(flags.type);
  const StoredModel stored = load_model(flags.folder);
  std::unique_ptr<Tokenizer> tokenizer;
  if (find_tokenizer(flags.folder)) tokenizer = load_tokenizer(flags.folder, stored.config.vocab_size);
  PackOptions options = default_pack_options(stored.config, type);
  if (!flags.head_type.empty()) options.head = weight_type(flags.head_type);
  check_setting(flags.token_shift != "folded" || stored.config.token_shift == "before", "token_shift",
                flags.token_shift, "separate: this model mixes tokens after its projections");
  if (flags.token_shift != "auto") options.fold_token_shift = flags.token_shift == "folded";
  const PackedModel packed(stored.config, stored.parameters.data(), options);
  make_folder(flags.out);
  if (tokenizer) tokenizer->save(flags.out);
  packed.save(flags.out);
  const auto megabytes = [](std::size_t bytes) { return 1e-6 * static_cast<double>(bytes); };
  const std::string head =
      packed.head_type() == type ? "" : fmt::format(", the head as {}", name_of(packed.head_type()));
  fmt::print("{} {} x {} as {}{}, token shift {}: {:.1f} MB (f32: {:.1f} MB) in {}\n", stored.config.arch,
             stored.config.n_layer, stored.config.n_embd, name_of(type), head, packed.folded() ? "folded" : "separate",
             megabytes(packed.size_in_bytes()), megabytes(stored.parameters.size() * sizeof(float)),
             flags.out.string());
  return 0;
}

}  // namespace

std::function<int()> add_quantize(Flags& app) {
  app.footer(
      "The result decodes, generates and evaluates; it cannot be trained on. Layout: docs/formats.md. Example:\n"
      "  spikegpt quantize my-model my-model-int8 --type int8\n"
      "  spikegpt generate my-model-int8 --prompt \"In the beginning\"");
  auto flags = std::make_shared<QuantizeFlags>(app);
  return [flags] { return quantize(*flags); };
}

}  // namespace spikegpt::cli
