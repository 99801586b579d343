#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/data/text_corpus.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/evaluation.h"

namespace spikegpt::cli {
namespace {

struct EvalFlags {
  explicit EvalFlags(CLI::App& app) {
    app.add_option("model", folder, "folder of the model")->required();
    app.add_option("--data", data, "text to measure on")->required();
    app.add_option("--ctx-len", ctx_len, "tokens per window; 0 = as trained")->check(CLI::Range(0, 1 << 20));
    app.add_option("--batch-size", batch_size, "windows at a time")
        ->capture_default_str()
        ->check(CLI::Range(1, 4096));
    app.add_option("--max-tokens", max_tokens, "only the first of the text; 0 = all")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 50));
    app.add_option("--precision", precision, "of the matrix products: f32, bf16 or auto")
        ->capture_default_str();
    app.add_option("--type", type, "as decoding sees it, with weights packed as f32, bf16, int8 or int4");
    app.add_flag("--published-rescale", published_rescale,
                 "as the published inference script: halve the stream every 6 blocks, for comparison");
    app.add_flag("--json", json, "print one JSON object");
  }

  std::filesystem::path folder;
  std::filesystem::path data;
  int ctx_len = 0;
  int batch_size = 8;
  std::int64_t max_tokens = 0;
  std::string precision = "f32";
  std::string type;
  bool published_rescale = false;
  bool json = false;
};

Json to_json(const EvaluationResult& result, const std::string& unit) {
  Json json;
  json["tokens"] = result.tokens;
  json["loss"] = result.loss;
  json["bits_per_" + unit] = result.bits();
  json["perplexity"] = result.perplexity();
  json["firing_rate"] = result.firing_rate;
  return json;
}

void print_row(const char* name, const EvaluationResult& result) {
  fmt::print("{:<28} {:>10} {:>10.4f} {:>12.3f} {:>9.1f} %\n", name, result.tokens, result.bits(),
             result.perplexity(), 100.0 * result.firing_rate);
}

// A model for evaluation: packed where it is stored so or is to be measured so.
struct EvalModel {
  explicit EvalModel(const EvalFlags& flags) {
    if (is_packed_folder(flags.folder) || !flags.type.empty()) {
      packed.emplace(open_model(flags.folder, {flags.type, flags.published_rescale}));
      runner = make_runner(config());
    } else {
      stored = load_model(flags.folder);
      stored.config.published_rescale |= flags.published_rescale;
    }
  }
  const ModelConfig& config() const { return packed ? packed->config() : stored.config; }
  std::unique_ptr<Network> network(const ActivationPlan& plan, const std::string& precision) {
    if (packed) return make_packed_network(*packed, plan, runner);
    auto network = make_network(stored.config, {gemm_precision(precision), plan});
    network->set_parameters(stored.parameters.data());
    return network;
  }

  StoredModel stored;
  std::optional<PackedModel> packed;
  PackedRunner runner;
};

int eval(const EvalFlags& flags) {
  EvalModel model(flags);
  const auto tokenizer = load_tokenizer(flags.folder);
  const EncodedFile text = encode_text_file(flags.data, *tokenizer);
  if (text.unknowns.count > 0) {
    fmt::print(stderr, "spikegpt: {} has {}\n", flags.data.string(), text.unknowns.describe());
  }
  EvaluationOptions options;
  options.ctx_len = flags.ctx_len > 0 ? flags.ctx_len : model.config().ctx_len;
  options.max_tokens = flags.max_tokens;
  // No more memory than the text can use.
  const std::int64_t predictions = text.tokens->size() - 1;
  options.batch = std::min<std::int64_t>(flags.batch_size, (predictions - 1) / options.ctx_len + 1);
  const auto network = model.network({options.batch, std::min(options.ctx_len, predictions)}, flags.precision);

  install_stop_handler();
  StatusLine status;
  const char* phase = "windows";
  options.progress = [&](std::int64_t done, std::int64_t all) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted");
    const double fraction = static_cast<double>(done) / static_cast<double>(all);
    status.update(fmt::format("{} {} of {} tokens, {}", bar(fraction, 20), done, all, phase));
  };
  const EvaluationResult windows = evaluate_windows(model.config(), *network, text.tokens, options);
  phase = "carried state";
  const EvaluationResult carried = evaluate_carried(model.config(), *network, text.tokens, options);
  status.clear();

  const std::string unit(tokenizer->unit());
  if (flags.json) {
    Json json;
    json["model"] = flags.folder.string();
    json["data"] = flags.data.string();
    json["unit"] = unit;
    json["ctx_len"] = options.ctx_len;
    json["unknown"] = text.unknowns.count;
    json["windows"] = to_json(windows, unit);
    json["carried"] = to_json(carried, unit);
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  fmt::print("{:<28} {:>10} {:>10} {:>12} {:>11}\n", "", unit + "s", "bits/" + unit.substr(0, 5),
             "perplexity", "firing");
  print_row(fmt::format("windows of {}", options.ctx_len).c_str(), windows);
  print_row("state carried along", carried);
  return 0;
}

}  // namespace

std::function<int()> add_eval(CLI::App& app) {
  app.footer(
      "Two figures: over windows that do not overlap and start without memory, and with the memory carried\n"
      "from the start of the text to its end. Example:\n"
      "  spikegpt eval my-model --data test.txt --json");
  auto flags = std::make_shared<EvalFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return eval(*flags);
  };
}

}  // namespace spikegpt::cli
