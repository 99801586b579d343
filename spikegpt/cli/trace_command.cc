#include <fmt/format.h>

#include <map>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/model/spike_sites.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct TraceFlags {
  explicit TraceFlags(CLI::App& app) {
    app.add_option("model", folder, "folder of the model")->required();
    app.add_option("--tokens", tokens, "token ids, as 5,17,3; @FILE reads them from a file");
    app.add_option("--prompt", prompt, "text instead of token ids");
    app.add_option("--targets", targets, "the token after each, as ids: adds the loss and all gradients");
    app.add_option("--out", out, "safetensors file to write")->required();
    app.add_flag("--published-rescale", published_rescale,
                 "as the published inference script: halve the stream every 6 blocks, for comparison");
    app.add_flag("--l2wrap", l2wrap, "add the training term of SPEC.md 6 to the gradients");
  }
  std::filesystem::path folder;
  std::string tokens;
  std::string prompt;
  std::string targets;
  std::filesystem::path out;
  bool published_rescale = false;
  bool l2wrap = false;
};

// Ids out of a flag, or with @ out of a file.
std::vector<TokenId> parse_ids(const char* flag, const std::string& text) {
  return parse_token_ids(flag, text.starts_with("@") ? read_text(text.substr(1)) : text);
}

// Keeps every spike train and potential.
class Recorder final : public Probe {
 public:
  explicit Recorder(const ModelConfig& config)
      : sites_(spike_sites(config)), threshold_(static_cast<float>(config.v_threshold)) {}

  void on_spikes(const SpikeRecord& record) override {
    const std::string& name = sites_[static_cast<std::size_t>(record.site)].name;
    const auto count = static_cast<std::size_t>(record.batch * record.tokens * record.neurons);
    const std::vector<std::int64_t> shape = {record.batch, record.tokens, record.neurons};
    const auto* spikes = static_cast<const float*>(record.spikes);
    const auto* distance = static_cast<const float*>(record.distance);
    Train& train = trains_[name];
    train.shape = shape;
    train.spikes.resize(count);
    train.membrane.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      train.spikes[i] = spikes[i] != 0.0f ? 1 : 0;
      train.membrane[i] = distance[i] + threshold_;
    }
  }

  void add_views(std::vector<TensorView>& views) const {
    for (const auto& [name, train] : trains_) {
      views.push_back({name, DType::kU8, train.shape, std::as_bytes(std::span(train.spikes))});
      views.push_back({"membrane." + name.substr(name.find('.') + 1), DType::kF32, train.shape,
                       std::as_bytes(std::span(train.membrane))});
    }
  }

 private:
  struct Train {
    std::vector<std::int64_t> shape;
    std::vector<std::uint8_t> spikes;
    std::vector<float> membrane;  // charged: before the reset
  };
  std::vector<SpikeSite> sites_;
  float threshold_;
  std::map<std::string, Train> trains_;
};

std::vector<TokenId> tokens_to_trace(const TraceFlags& flags) {
  if (flags.tokens.empty() == flags.prompt.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "give either --tokens or --prompt");
  }
  if (!flags.tokens.empty()) return parse_ids("--tokens", flags.tokens);
  const auto tokenizer = load_tokenizer(flags.folder);
  return tokenizer->encode(flags.prompt).ids;
}

int trace(const TraceFlags& flags) {
  StoredModel model = load_model(flags.folder);
  model.config.dropout = 0.0;
  model.config.published_rescale |= flags.published_rescale;
  const std::vector<TokenId> tokens = tokens_to_trace(flags);
  const std::vector<TokenId> targets =
      flags.targets.empty() ? std::vector<TokenId>{} : parse_ids("--targets", flags.targets);
  if (!targets.empty() && targets.size() != tokens.size()) {
    throw Error(ErrorKind::kInvalidArgument, "{} targets for {} tokens; expected one for each",
                targets.size(), tokens.size());
  }
  const auto T = static_cast<std::int64_t>(tokens.size());
  NetworkOptions options;
  options.plan = {1, T, !targets.empty(), false};
  const auto network = make_network(model.config, options);
  network->set_parameters(model.parameters.data());
  Recorder recorder(model.config);
  RunOptions run;
  run.probe = &recorder;
  network->forward({tokens}, run);

  std::vector<TensorView> views;
  views.push_back({"tokens", DType::kI32, {1, T}, std::as_bytes(std::span(tokens))});
  std::vector<float> logits(tokens.size() * static_cast<std::size_t>(model.config.vocab_size));
  network->logits(0, T, logits.data());
  views.push_back({"logits", DType::kF32, {1, T, model.config.vocab_size},
                   std::as_bytes(std::span(logits))});
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
  write_safetensors(flags.out, {{"format", "pt"}, {"config", config_to_json(model.config)}}, views);
  fmt::print("{} tensors of {} tokens in {}\n", views.size(), T, flags.out.string());
  return 0;
}

}  // namespace

std::function<int()> add_trace(CLI::App& app) {
  app.footer(
      "Writes logits, \"spikes.*\" (0 or 1) and \"membrane.*\" (potential before the reset) of every neuron at\n"
      "every token; with --targets also \"loss\" and \"grad.*\" of every parameter. Example:\n"
      "  spikegpt trace my-model --prompt \"In the beginning\" --out trace.safetensors");
  auto flags = std::make_shared<TraceFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return trace(*flags);
  };
}

}  // namespace spikegpt::cli
