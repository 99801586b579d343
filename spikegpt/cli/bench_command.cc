#include <fmt/format.h>

#include <memory>
#include <optional>
#include <vector>

#include "spikegpt/cli/bench_decode.h"
#include "spikegpt/cli/bench_kernels.h"
#include "spikegpt/cli/bench_neurons.h"
#include "spikegpt/cli/bench_prefill.h"
#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/cli/bench_train.h"
#include "spikegpt/cli/command.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/simd.h"

namespace spikegpt::cli {
namespace {

const std::filesystem::path kTrainScript = "tools/reference/bench_pytorch.py";

struct BenchFlags {
  explicit BenchFlags(Flags& app) {
    app.add("what", what,
            "train: whole training steps; kernels: one by one; decode: token by token; prefill: prompts; events:\n"
            "products by density; stream: cost by position; all: the first five")
        .one_of({"train", "kernels", "decode", "prefill", "events", "stream", "all"})
        .show_default();
    app.add("--arch", arch, "spikegpt, rwkv or event; without it event to decode, else spikegpt");
    app.add("--model", folder, "decode, prefill, stream: a trained model instead of random weights");
    app.add("--data", data, "the text it reads; without it tokens at random");
    app.add("--type", type, "weights to decode with: f32, bf16, int8, int4 or all").show_default();
    app.add("--rate", rate, "firing rate that random weights of arch event are set to")
        .show_default()
        .between(0.001, 1.0);
    app.add("--tokens", tokens, "stream: how far to read").show_default().between(1000, 1 << 30);
    app.add("--preset", preset, "named size").show_default();
    app.add("--vocab-size", vocab_size, "V").show_default();
    app.add("--batch-size", batch_size, "B").show_default().between(1, 4096);
    app.add("--ctx-len", ctx_len, "T; 0 = that of the preset").between(0, 1 << 20);
    app.add("--precision", precision, "f32, bf16 or auto").show_default();
    app.add_switch("--neurons", neurons, "kernels: the scan of every kind of neuron instead");
    app.add_switch("--recompute", recompute, "recompute activations in the backward pass");
    app.add("--steps", steps, "training steps to time").show_default().between(1, 10000);
    app.add("--baseline", baseline,
            "train, kernels --neurons: PyTorch in turn with ours (needs python3-torch); the script to run, by default "
            "that of the source folder")
        .optional_value(kTrainScript.string());
    add_force_flag(app, force);
    app.add("--plot", plot, "events: the curve as a .svg or .png file");
    app.add_switch("--json", json, "print one JSON object");
  }
  bool wants(const std::string& bench) const { return what == bench || (what == "all" && bench != "stream"); }

  std::string what = "all";
  std::string arch;
  std::filesystem::path folder;
  std::filesystem::path data;
  std::string type = "all";
  double rate = 0.15;
  bool force = false;
  std::int64_t tokens = 1000000;
  std::string preset = "45m";
  int vocab_size = 205;
  int batch_size = 4;
  int ctx_len = 0;
  std::string precision = "auto";
  bool neurons = false;
  bool recompute = false;
  int steps = 5;
  std::filesystem::path baseline;
  std::filesystem::path plot;
  bool json = false;
};

ModelConfig model_of(const BenchFlags& flags, const std::string& default_arch) {
  ModelConfig config = default_config(flags.arch.empty() ? default_arch : flags.arch);
  apply_preset(flags.preset, config);
  config.vocab_size = flags.vocab_size;
  if (flags.ctx_len > 0) config.ctx_len = flags.ctx_len;
  validate(config);
  return config;
}

TrainBench train_bench(const BenchFlags& flags, const ModelConfig& config) {
  TrainBench bench;
  bench.model = config;
  bench.train.batch_size = flags.batch_size;
  bench.train.precision = flags.precision;
  bench.train.recompute = flags.recompute;
  bench.steps = flags.steps;
  bench.baseline = flags.baseline;
  return bench;
}

Json neuron_bench(const BenchFlags& flags, const ModelConfig& config) {
  // In float unless told otherwise, as PyTorch's.
  const GemmPrecision precision = flags.precision == "auto" ? GemmPrecision::kF32 : gemm_precision(flags.precision);
  std::filesystem::path script = flags.baseline;
  if (script.filename() == kTrainScript.filename()) script.replace_filename("bench_neurons_pytorch.py");
  return bench_neurons({flags.batch_size, config.ctx_len, config.n_embd}, precision, script);
}

void print_kernels(const Json& kernels) {
  fmt::print("{:<34} {:>10} {:>10} {:>10}\n", "kernel", "ms", "GFLOP/s", "GB/s");
  for (const Json& kernel : kernels) {
    const auto cell = [&](const char* key) {
      return kernel.contains(key) ? fmt::format("{:.1f}", kernel[key].get<double>()) : std::string("-");
    };
    fmt::print("{:<34} {:>10.3f} {:>10} {:>10}\n", kernel["name"].get<std::string>(),
               1e3 * kernel["seconds"].get<double>(), cell("gflops"), cell("gbytes"));
  }
}

std::vector<WeightType> types_of(const BenchFlags& flags) {
  if (flags.type != "all") return {weight_type(flags.type)};
  return {WeightType::kF32, WeightType::kBf16, WeightType::kInt8, WeightType::kInt4};
}

bool steps_tokens(const BenchFlags& flags) {
  return flags.wants("decode") || flags.wants("prefill") || flags.wants("stream");
}

// `model` is the one to step through, if any bench does.
void bench_decoding(const BenchFlags& flags, const ModelConfig& config, const std::optional<DecodeModel>& model,
                    Json& json) {
  const std::vector<WeightType> types = types_of(flags);
  const auto show = [&](const char* key, const Json& rows, void (*print)(const Json&)) {
    json[key] = rows;
    if (!flags.json) print(rows);
  };
  if (flags.wants("events")) {
    show("events", bench_events(config, types), print_events);
    if (!flags.plot.empty())
      write_text_atomically(flags.plot, events_chart(json["events"]).draw(plot_format(flags.plot)));
  }
  if (!model) return;
  if (!flags.json) {
    fmt::print("decoding {} {} x {}, V = {}\n", model->config.arch, model->config.n_layer, model->config.n_embd,
               model->config.vocab_size);
  }
  if (flags.wants("decode")) show("decode", bench_decode(*model, types), print_decode);
  if (flags.wants("prefill")) show("prefill", bench_prefill(*model, types), print_prefill);
  if (flags.wants("stream")) show("stream", bench_stream(*model, types.back(), flags.tokens), print_stream);
}

int bench(const BenchFlags& flags) {
  if (!flags.plot.empty()) refuse_other_file(flags.plot, kPictureMark, flags.force);
  const ModelConfig config = model_of(flags, "spikegpt");
  Json json;
  json["simd"] = simd_target();
  json["threads"] = thread_count();
  // Whatever is refused is refused before anything is printed.
  const ModelConfig stepped = model_of(flags, "event");
  std::optional<DecodeModel> model;
  if (steps_tokens(flags)) model = decode_model(stepped, {flags.folder, flags.data, flags.rate});
  if (flags.wants("train")) json["train"] = bench_train(train_bench(flags, config));
  if (!flags.json) fmt::print("instruction set {}, {} threads\n\n", simd_target(), thread_count());
  if (flags.wants("train") && !flags.json) print_train(json["train"]);
  if (flags.wants("kernels") && flags.neurons) {
    json["neurons"] = neuron_bench(flags, config);
    if (!flags.json) print_neurons(json["neurons"]);
  } else if (flags.wants("kernels")) {
    json["kernels"] = bench_kernels(config, flags.batch_size, gemm_precision(flags.precision));
    if (!flags.json) print_kernels(json["kernels"]);
  }
  bench_decoding(flags, stepped, model, json);
  if (flags.json) fmt::print("{}\n", json_text(json, 2));
  return 0;
}

}  // namespace

std::function<int()> add_bench(Flags& app) {
  app.footer(
      "Examples:\n  spikegpt bench train --preset 45m\n  spikegpt bench decode --arch event --type int8\n  spikegpt "
      "bench kernels --json\n  spikegpt bench kernels --neurons --batch-size 16 --threads 1");
  auto flags = std::make_shared<BenchFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return bench(*flags);
  };
}

}  // namespace spikegpt::cli
