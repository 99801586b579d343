#include <fmt/format.h>

#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/spike_recorder.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct TraceFlags {
  explicit TraceFlags(Flags& app) {
    app.add("model", folder, "folder of the model").required();
    app.add("--tokens", tokens, "token ids, as 5,17,3; @FILE reads them from a file");
    app.add("--prompt", prompt, "text instead of token ids");
    app.add("--targets", targets, "the token after each, as ids: adds the loss and all gradients");
    Flags files = app.group_with_one_of("Files", "at least one of them");
    files.add("--out", out, "safetensors file to write");
    files.add("--raster", raster, "picture of every spike, neurons over tokens: a .svg or .png file");
    files.add("--profile", profile, "picture of the firing rate of every layer and site: a .svg or .png file");
    app.add("--layers", layers, "only these layers in the raster, as 0,3,11").separated_by(',');
    app.add("--site", site, "only this site in the raster, such as lif1 (the names of --out)");
    app.add("--neurons", neurons, "only these neurons of every site in the raster, as 0:256");
    app.add_switch("--published-rescale", published_rescale,
                   "as the published inference script: halve the stream every 6 blocks, for comparison");
    add_force_flag(app, force);
    app.add_switch("--l2wrap", l2wrap, "add the training term of SPEC.md 6 to the gradients");
  }
  std::filesystem::path folder;
  std::string tokens;
  std::string prompt;
  std::string targets;
  std::filesystem::path out;
  std::filesystem::path raster;
  std::filesystem::path profile;
  std::vector<int> layers;
  std::string site;
  std::string neurons;
  bool published_rescale = false;
  bool l2wrap = false;
  bool force = false;
};

// Ids out of a flag, or with @ out of a file.
std::vector<TokenId> parse_ids(const char* flag, const std::string& text) {
  return parse_token_ids(flag, text.starts_with("@") ? read_text(text.substr(1)) : text);
}

std::vector<TokenId> tokens_to_trace(const TraceFlags& flags, const ModelConfig& config) {
  if (flags.tokens.empty() == flags.prompt.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "give either --tokens or --prompt");
  }
  if (!flags.tokens.empty()) return parse_ids("--tokens", flags.tokens);
  const auto tokenizer = load_tokenizer(flags.folder, config.vocab_size);
  Encoding encoding = tokenizer->encode(flags.prompt);
  warn_of_unknown("the prompt", encoding.unknowns, *tokenizer);
  return std::move(encoding.ids);
}

// The tokens as they are written in the text; empty without a tokenizer.
std::vector<std::string> labels_of(const TraceFlags& flags, const ModelConfig& config,
                                   const std::vector<TokenId>& tokens) {
  std::vector<std::string> labels;
  if (!find_tokenizer(flags.folder)) return labels;
  const auto tokenizer = load_tokenizer(flags.folder, config.vocab_size);
  for (const TokenId token : tokens) {
    const bool known = token < static_cast<TokenId>(tokenizer->vocab_size());
    labels.push_back(known ? tokenizer->decode(std::vector<TokenId>{token}) : fmt::format("<{}>", token));
    if (labels.back() == " ") labels.back() = "\u2423";
    if (labels.back() == "\n") labels.back() = "\u21b5";
  }
  return labels;
}

void draw_pictures(const TraceFlags& flags, const ModelConfig& config, const SpikeRecorder& recorder,
                   const std::vector<TokenId>& tokens) {
  if (flags.raster.empty() && flags.profile.empty()) return;
  if (recorder.trains().empty()) {
    throw Error(ErrorKind::kInvalidArgument, "{}: arch {} has no neurons to draw", flags.folder.string(), config.arch);
  }
  const std::string name =
      fmt::format("{}, {} {} x {}", flags.folder.filename().string(), config.arch, config.n_layer, config.n_embd);
  const auto write = [](const std::filesystem::path& path, const std::string& picture) {
    write_text_atomically(path, picture);
    fmt::print("{}\n", path.string());
  };
  if (!flags.raster.empty()) {
    const RasterSelection selection = {flags.layers, flags.site, flags.neurons};
    Raster raster = make_raster(config, recorder, selection);
    raster.title =
        fmt::format("Spikes of {}: {:.1f} % of the neurons fire per token", name, 100.0 * recorder.firing_rate());
    raster.token_labels = labels_of(flags, config, tokens);
    write(flags.raster, raster.draw(plot_format(flags.raster)));
  }
  if (!flags.profile.empty()) {
    LineChart chart = make_profile(config, recorder);
    chart.title = "Firing rates of " + name;
    write(flags.profile, chart.draw(plot_format(flags.profile)));
  }
}

constexpr const char* kMadeBy = "spikegpt trace";

void check_places(const TraceFlags& flags) {
  for (const auto& picture : {flags.raster, flags.profile}) {
    if (picture.empty()) continue;
    plot_format(picture);
    refuse_other_file(picture, kPictureMark, flags.force);
  }
  if (!flags.out.empty()) refuse_other_file(flags.out, kMadeBy, flags.force);
}

int trace(const TraceFlags& flags) {
  StoredModel model = load_model(flags.folder);
  model.config.dropout = 0.0;
  model.config.published_rescale |= flags.published_rescale;
  const std::vector<TokenId> tokens = tokens_to_trace(flags, model.config);
  const std::vector<TokenId> targets =
      flags.targets.empty() ? std::vector<TokenId>{} : parse_ids("--targets", flags.targets);
  if (!targets.empty() && targets.size() != tokens.size()) {
    throw Error(ErrorKind::kInvalidArgument, "{} targets for {} tokens; expected one for each", targets.size(),
                tokens.size());
  }
  check_places(flags);
  const auto T = static_cast<std::int64_t>(tokens.size());
  NetworkOptions options;
  options.plan = {1, T, !targets.empty(), false};
  const auto network = make_network(model.config, options);
  network->set_parameters(model.parameters.data());
  SpikeRecorder recorder(model.config);
  RunOptions run;
  run.probe = &recorder;
  network->forward({tokens}, run);
  draw_pictures(flags, model.config, recorder, tokens);
  if (flags.out.empty()) return 0;

  std::vector<TensorView> views;
  views.push_back({"tokens", DType::kI32, {1, T}, std::as_bytes(std::span(tokens))});
  std::vector<float> logits(tokens.size() * static_cast<std::size_t>(model.config.vocab_size));
  network->logits(0, T, logits.data());
  views.push_back({"logits", DType::kF32, {1, T, model.config.vocab_size}, std::as_bytes(std::span(logits))});
  recorder.add_views(views);

  AlignedBuffer<float> gradients;
  float loss = 0.0f;
  const ParameterLayout layout(model.config);
  if (!targets.empty()) {
    gradients = AlignedBuffer<float>(static_cast<std::size_t>(layout.flat_size()));
    const LossOptions loss_options = {targets, 1.0 / static_cast<double>(T), flags.l2wrap ? 1e-4f : 0.0f};
    loss = static_cast<float>(mean_loss(network->losses_and_gradients(loss_options, gradients.data())));
    views.push_back({"targets", DType::kI32, {1, T}, std::as_bytes(std::span(targets))});
    views.push_back({"loss", DType::kF32, {1}, std::as_bytes(std::span(&loss, 1))});
    for (TensorView view : parameter_views(layout, gradients.data())) {
      view.name = "grad." + view.name;
      views.push_back(std::move(view));
    }
  }
  write_safetensors(flags.out, {{"format", "pt"}, {"made_by", kMadeBy}, {"config", config_to_json(model.config)}},
                    views);
  fmt::print("{} tensors of {} tokens in {}\n", views.size(), T, flags.out.string());
  return 0;
}

}  // namespace

std::function<int()> add_trace(Flags& app) {
  app.footer(
      "Writes logits, \"spikes.*\" (0 or 1; whole numbers where the model has more) and \"membrane.*\" (potential "
      "before the reset) of every neuron at\n"
      "every token; with --targets also \"loss\" and \"grad.*\" of every parameter. Example:\n"
      "  spikegpt trace my-model --prompt \"In the beginning\" --out trace.safetensors\n"
      "  spikegpt trace my-model --prompt \"In the beginning\" --raster spikes.svg --profile rates.png");
  auto flags = std::make_shared<TraceFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return trace(*flags);
  };
}

}  // namespace spikegpt::cli
