// Fast routes through a model against slow ones, on the user's own text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/kernels/simd.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt::cli {
namespace {

constexpr std::int64_t kChunk = 64;

struct CheckFlags {
  explicit CheckFlags(Flags& app) {
    app.add("model", folder, "folder of the model, packed or not").required();
    app.add("--data", data, "text to read").required();
    app.add("--tokens", tokens, "how much of it").show_default().between(2, 1 << 20);
    app.add("--type", type, "weights of the stepping routes: f32, bf16, int8, int4; without it as stored");
    app.add_switch("--json", json, "print one JSON object");
  }

  std::filesystem::path folder;
  std::filesystem::path data;
  std::int64_t tokens = 512;
  std::string type;
  bool json = false;
};

// What one route made of the text.
class Outcome final : public Probe {
 public:
  Outcome(const ModelConfig& config, std::int64_t tokens)
      : logits(static_cast<std::size_t>(tokens * config.vocab_size)), spikes(spike_sites(config).size()) {}

  // One text, in passes one after the other.
  void on_spikes(const SpikeRecord& record) override {
    ensure(record.dtype == DType::kF32 && record.batch == 1, "float passes over one text");
    const auto* sent = static_cast<const float*>(record.spikes);
    auto& site = spikes[static_cast<std::size_t>(record.site)];
    for (std::int64_t i = 0; i < record.tokens * record.neurons; ++i) site.push_back(static_cast<std::int8_t>(sent[i]));
  }

  std::vector<float> logits;                     // [T, V]
  std::vector<std::vector<std::int8_t>> spikes;  // by site, [T, neurons]
};

// One way of running the model.
struct Route {
  std::string name;
  std::string simd = "best";
  int threads = 0;
  std::int64_t chunk = 0;  // tokens a pass; 0 = all, as in training
  ProductPath path = ProductPath::kAuto;
  bool is_packed() const { return chunk > 0; }
};

// How a route differs from the one it is held against.
struct Difference {
  std::string route;
  std::string against;
  bool must_be_equal = false;
  bool same_bits = false;
  double logits = 0.0;                // largest
  std::vector<std::int64_t> flipped;  // by layer, the head's last; a neuron at a token whose spikes differ
  std::int64_t total_flipped() const {
    std::int64_t sum = 0;
    for (const std::int64_t count : flipped) sum += count;
    return sum;
  }
};

class Check {
 public:
  explicit Check(const CheckFlags& flags)
      : packed_(open_model(flags.folder, {.type = flags.type})), config_(packed_.config()) {
    config_.dropout = 0.0;
    const auto tokenizer = load_tokenizer(flags.folder, config_.vocab_size);
    tokens_ = read_first_tokens(flags.data, *tokenizer, flags.tokens);
    if (!is_packed_folder(flags.folder)) trainable_ = load_model(flags.folder);
  }

  std::int64_t tokens() const { return std::ssize(tokens_); }
  const ModelConfig& config() const { return config_; }
  std::string_view weights() const { return name_of(packed_.type()); }
  std::int64_t neurons() const {
    std::int64_t sum = 0;
    for (const SpikeSite& site : spike_sites(config_)) sum += site.neurons;
    return sum;
  }

  std::vector<Difference> run(StatusLine& status) {
    std::vector<Difference> differences;
    const auto compare = [&](const Route& route, const Outcome& reference, const std::string& against,
                             bool must_be_equal) {
      status.update(route.name);
      differences.push_back(difference(outcome(route), reference));
      differences.back().route = route.name;
      differences.back().against = against;
      differences.back().must_be_equal = must_be_equal;
    };
    const Route step = {"step by step, events", "best", 0, 1, ProductPath::kEvents};
    const Outcome stepped = outcome(step);
    compare({"step by step, dense", "best", 0, 1, ProductPath::kDense}, stepped, step.name, true);
    compare({fmt::format("chunks of {}", kChunk), "best", 0, kChunk, ProductPath::kAuto}, stepped, step.name, true);
    compare({"step by step, one thread", "best", 1, 1, ProductPath::kAuto}, stepped, step.name, true);
    compare({"step by step, scalar", "baseline", 0, 1, ProductPath::kAuto}, stepped, step.name, false);
    if (!trainable_) return differences;
    const Route all = {"in parallel"};
    const Outcome parallel = outcome(all);
    compare({"in parallel, one thread", "best", 1}, parallel, all.name, false);
    compare({"in parallel, scalar", "baseline"}, parallel, all.name, false);
    compare(step, parallel, all.name, false);
    return differences;
  }

 private:
  Outcome outcome(const Route& route) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted");
    set_simd_target(route.simd);
    const int threads = thread_count();
    if (route.threads > 0) set_thread_count(route.threads);
    Outcome result(config_, tokens());
    route.is_packed() ? read_packed(route, result) : read_at_once(result);
    set_thread_count(threads);
    set_simd_target("best");
    return result;
  }

  void read_at_once(Outcome& result) {
    NetworkOptions options;
    options.plan = {1, tokens(), false, false};
    const auto network = make_network(config_, options);
    network->set_parameters(trainable_->parameters.data());
    RunOptions run;
    run.probe = &result;
    network->forward({tokens_}, run);
    network->logits(0, tokens(), result.logits.data());
  }

  void read_packed(const Route& route, Outcome& result) {
    PackedRunner runner = make_runner(config_);
    runner.path = route.path;
    const auto network = make_packed_network(packed_, {.batch = 1, .tokens = route.chunk}, runner);
    RecurrentState state(config_, 1);
    state.reset();
    RunOptions run;
    run.state_in = run.state_out = &state;
    run.probe = &result;
    for (std::int64_t first = 0; first < tokens(); first += route.chunk) {
      const std::int64_t count = std::min(route.chunk, tokens() - first);
      network->forward({std::span(tokens_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))},
                       run);
      network->logits(0, count, result.logits.data() + first * config_.vocab_size);
    }
  }

  Difference difference(const Outcome& one, const Outcome& other) const {
    Difference found;
    found.same_bits = std::memcmp(one.logits.data(), other.logits.data(), one.logits.size() * sizeof(float)) == 0;
    for (std::size_t i = 0; i < one.logits.size(); ++i) {
      found.logits =
          std::max(found.logits, std::fabs(static_cast<double>(one.logits[i]) - static_cast<double>(other.logits[i])));
    }
    found.flipped.assign(static_cast<std::size_t>(config_.n_layer) + 1, 0);
    const auto sites = spike_sites(config_);
    for (std::size_t site = 0; site < sites.size(); ++site) {
      ensure(one.spikes[site].size() == other.spikes[site].size(), "as many spikes on both routes");
      std::int64_t flipped = 0;
      for (std::size_t i = 0; i < one.spikes[site].size(); ++i) flipped += one.spikes[site][i] != other.spikes[site][i];
      found.flipped[static_cast<std::size_t>(sites[site].layer)] += flipped;
      found.same_bits &= flipped == 0;
    }
    return found;
  }

  PackedModel packed_;
  ModelConfig config_;
  std::vector<TokenId> tokens_;
  std::optional<StoredModel> trainable_;
};

void print_json(const Check& check, const std::vector<Difference>& differences) {
  Json json = {{"tokens", check.tokens()}, {"neurons", check.neurons()}, {"weights", check.weights()}};
  for (const Difference& d : differences) {
    json["routes"].push_back({{"route", d.route},
                              {"against", d.against},
                              {"must_be_equal", d.must_be_equal},
                              {"same_bits", d.same_bits},
                              {"largest_logit_difference", d.logits},
                              {"flipped_spikes_by_layer", d.flipped}});
  }
  fmt::print("{}\n", json_text(json, 2));
}

void print_table(const Check& check, const std::vector<Difference>& differences) {
  fmt::print("{} {} x {}, {} tokens, {} neurons; stepping with {} weights\n\n", check.config().arch,
             check.config().n_layer, check.config().n_embd, check.tokens(), check.neurons(), check.weights());
  fmt::print("{:<26} {:<24} {:>18} {:>16}\n", "route", "against", "logits differ by", "flipped spikes");
  for (const Difference& d : differences) {
    fmt::print("{:<26} {:<24} {:>18} {:>16}{}\n", d.route, d.against,
               d.same_bits ? "same bits" : fmt::format("{:.2e}", d.logits), d.total_flipped(),
               d.must_be_equal && !d.same_bits ? "   MUST BE EQUAL" : "");
    if (d.total_flipped() == 0) continue;
    for (std::size_t layer = 0; layer < d.flipped.size(); ++layer) {
      if (d.flipped[layer] > 0)
        fmt::print("    {} {}: {} flipped\n", layer + 1 < d.flipped.size() ? "layer" : "head of", layer,
                   d.flipped[layer]);
    }
  }
}

int run(const CheckFlags& flags) {
  install_stop_handler();
  Check check(flags);
  StatusLine status;
  const std::vector<Difference> differences = check.run(status);
  status.clear();
  flags.json ? print_json(check, differences) : print_table(check, differences);
  const bool fails = std::any_of(differences.begin(), differences.end(),
                                 [](const Difference& d) { return d.must_be_equal && !d.same_bits; });
  if (fails)
    fmt::print(
        stderr,
        "spikegpt: routes that must give the same bits do not: please report this with your model's config.json\n");
  return fails ? 1 : 0;
}

}  // namespace

std::function<int()> add_check(Flags& app) {
  app.footer(
      "Reads a text by every route the program has and compares logits and spikes: gathered events against dense "
      "products, steps against\n"
      "chunks, one thread against many, vector against scalar code, stepping against the parallel pass of training. "
      "Exit status 1 when\n"
      "routes differ that must give the same bits. A spike flips when two routes round a potential to different sides "
      "of the threshold.\n"
      "  spikegpt check my-model --data test.txt");
  auto flags = std::make_shared<CheckFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return run(*flags);
  };
}

}  // namespace spikegpt::cli
