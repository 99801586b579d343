#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numbers>
#include <optional>
#include <vector>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/data/evaluation_windows.h"
#include "spikegpt/data/text_corpus.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/evaluation.h"

namespace spikegpt::cli {
namespace {

struct EvalFlags {
  explicit EvalFlags(Flags& app) {
    app.add("models", folders, "folder of the model; of several").required();
    app.add("--data", data, "text to measure on; several for a table, such as those of training, validation and test")
        .required();
    app.add("--ctx-len", ctx_len, "tokens per window; 0 = as trained").between(0, 1 << 20);
    app.add("--batch-size", batch_size, "windows at a time").show_default().between(1, 4096);
    app.add("--max-tokens", max_tokens, "only the first of the text; 0 = all")
        .between(std::int64_t{0}, std::int64_t{1} << 50);
    app.add("--precision", precision, "of the matrix products: f32, bf16 or auto").show_default();
    app.add("--type", type, "as decoding sees it, with weights packed as f32, bf16, int8 or int4");
    app.add("--stride", stride, "also over windows that overlap: one every so many tokens; 0 = not")
        .between(0, 1 << 20);
    app.add_switch("--words", words,
                   "also perplexity per word: exp(nats of all tokens / (words between white space + line ends))");
    app.add_switch("--per-position", per_position, "also the mean loss by place in the window");
    app.add_switch("--per-site", per_site, "also what the neurons of every place send");
    app.add_switch("--published-rescale", published_rescale,
                   "as the published inference script: halve the stream every 6 blocks, for comparison");
    app.add_switch("--json", json, "print one JSON object; of several models or texts an array of them");
  }

  std::vector<std::filesystem::path> folders;
  std::vector<std::filesystem::path> data;
  int ctx_len = 0;
  int batch_size = 8;
  std::int64_t max_tokens = 0;
  std::string precision = "f32";
  std::string type;
  int stride = 0;
  bool words = false;
  bool per_position = false;
  bool per_site = false;
  bool published_rescale = false;
  bool json = false;
};

void put_densities(Json& json, const Densities& activity) {
  json["firing_rate"] = activity.firing_rate;
  json["synop_density"] = activity.synops;
  json["active_row_density"] = activity.active_rows;
}

Json to_json(const EvaluationResult& result, const std::string& unit) {
  Json json;
  json["tokens"] = result.tokens;
  json["loss"] = result.loss;
  json["bits_per_" + unit] = result.bits();
  json["perplexity"] = result.perplexity();
  put_densities(json, result.activity);
  return json;
}

// All that was measured of one model on one text.
struct Evaluation {
  std::filesystem::path model;
  std::filesystem::path data;
  std::string unit;
  std::int64_t ctx_len = 0;
  std::int64_t unknown = 0;
  std::int64_t words = 0;  // 0 = not asked for
  std::vector<SpikeSite> sites;
  EvaluationResult windows;
  std::optional<EvaluationResult> sliding;
  EvaluationResult carried;

  double word_perplexity(const EvaluationResult& result) const {
    return std::exp(result.loss * static_cast<double>(result.tokens) / static_cast<double>(words));
  }
};

Json to_json(const Evaluation& e, const EvalFlags& flags) {
  Json json;
  json["model"] = e.model.string();
  json["data"] = e.data.string();
  json["unit"] = e.unit;
  json["ctx_len"] = e.ctx_len;
  json["unknown"] = e.unknown;
  const auto add = [&](const char* name, const EvaluationResult& result) {
    json[name] = to_json(result, e.unit);
    if (e.words > 0) json[name]["word_perplexity"] = e.word_perplexity(result);
  };
  add("windows", e.windows);
  if (e.sliding) {
    add("sliding", *e.sliding);
    json["sliding"]["stride"] = flags.stride;
  }
  add("carried", e.carried);
  if (e.words > 0) json["words"] = e.words;
  if (flags.per_position) json["loss_by_position"] = e.windows.by_position;
  for (std::size_t i = 0; i < e.sites.size(); ++i) {
    Json site = {{"name", e.sites[i].name}, {"layer", e.sites[i].layer}};
    put_densities(site, e.windows.sites.at(i));
    json["sites"].push_back(std::move(site));
  }
  return json;
}

void print_row(const Evaluation& e, const std::string& name, const EvaluationResult& result) {
  fmt::print("{:<28} {:>10} {:>10.4f} {:>12.3f}", name, result.tokens, result.bits(), result.perplexity());
  if (e.words > 0) fmt::print(" {:>12.3f}", e.word_perplexity(result));
  fmt::print(" {:>9.1f} %\n", 100.0 * result.activity.firing_rate);
}

// Bits at the places 0, 1, 2-3, 4-7, ... of the windows.
void print_positions(const Evaluation& e) {
  fmt::print("\n{:<28} {:>10}\n", "place in the window", "bits/" + e.unit.substr(0, 5));
  const std::vector<double>& losses = e.windows.by_position;
  for (std::size_t first = 0; first < losses.size(); first = std::max<std::size_t>(1, 2 * first)) {
    const std::size_t end = std::min(losses.size(), std::max<std::size_t>(1, 2 * first));
    double sum = 0.0;
    for (std::size_t i = first; i < end; ++i) sum += losses[i];
    const std::string place = end - first > 1 ? fmt::format("{} to {}", first, end - 1) : std::to_string(first);
    fmt::print("{:<28} {:>10.4f}\n", place, sum / static_cast<double>(end - first) / std::numbers::ln2);
  }
}

// What is left of the dense products' operations and of the rows of their weights, in all and by site.
void print_densities(const Evaluation& e, bool by_site) {
  if (e.windows.activity.synops == 0.0 && !by_site) return;
  fmt::print("\n{:<28} {:>10} {:>10} {:>12}\n", "of the dense products", "events", "synops", "rows");
  const auto print = [](const std::string& name, const Densities& activity) {
    fmt::print("{:<28} {:>8.1f} % {:>8.2f} % {:>10.2f} %\n", name, 100.0 * activity.firing_rate,
               100.0 * activity.synops, 100.0 * activity.active_rows);
  };
  for (std::size_t i = 0; by_site && i < e.sites.size(); ++i) print(e.sites[i].name, e.windows.sites.at(i));
  print("all neurons", e.windows.activity);
  fmt::print(
      "events: per neuron and {}; synops: synaptic operations, events times\n"
      "outputs fed; rows: of weights that are fetched. Head left out.\n",
      e.unit);
}

void print_one(const Evaluation& e, const EvalFlags& flags) {
  fmt::print("{:<28} {:>10} {:>10} {:>12}", "", e.unit + "s", "bits/" + e.unit.substr(0, 5), "perplexity");
  if (e.words > 0) fmt::print(" {:>12}", "per word");
  fmt::print(" {:>11}\n", "firing");
  print_row(e, fmt::format("windows of {}", e.ctx_len), e.windows);
  if (e.sliding) print_row(e, fmt::format("one every {}", flags.stride), *e.sliding);
  print_row(e, "state carried along", e.carried);
  if (e.words > 0) fmt::print("{} words and line ends\n", e.words);
  if (flags.per_position) print_positions(e);
  print_densities(e, flags.per_site);
}

// Bits of several models or texts side by side.
void print_table(const std::vector<Evaluation>& all, const EvalFlags& flags) {
  fmt::print("{:<24} {:<24} {:>10} {:>9}{} {:>9}{} {:>8}\n", "model", "data", "tokens", "windows",
             flags.stride > 0 ? "   sliding" : "", "carried", flags.words ? "     per word" : "", "firing");
  for (const Evaluation& e : all) {
    fmt::print("{:<24} {:<24} {:>10} {:>9.4f}", e.model.string(), e.data.string(), e.windows.tokens, e.windows.bits());
    if (e.sliding) fmt::print(" {:>9.4f}", e.sliding->bits());
    fmt::print(" {:>9.4f}", e.carried.bits());
    if (e.words > 0) fmt::print(" {:>12.3f}", e.word_perplexity(e.carried));
    fmt::print(" {:>6.1f} %\n", 100.0 * e.windows.activity.firing_rate);
  }
  fmt::print("bits per {}; windows of {}\n", all.front().unit, all.front().ctx_len);
}

// A model for evaluation: packed where it is stored so or is to be measured so.
struct EvalModel {
  EvalModel(const EvalFlags& flags, const std::filesystem::path& folder) {
    if (is_packed_folder(folder) || !flags.type.empty()) {
      packed.emplace(open_model(folder, {flags.type, flags.published_rescale}));
      runner = make_runner(config());
    } else {
      stored = load_model(folder);
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

// Words between white space and line ends of what the first `predictions` tokens foretell.
std::int64_t count_words(const TokenStream& tokens, const Tokenizer& tokenizer, std::int64_t predictions) {
  std::int64_t words = 0;
  bool inside = false;
  std::vector<TokenId> token(1);
  for (std::int64_t i = 1; i <= predictions; ++i) {
    tokens.read(i, token);
    for (const char c : tokenizer.token_bytes(token[0])) {
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      if (!space && !inside) ++words;
      if (c == '\n') ++words;
      inside = !space;
    }
  }
  return words;
}

Evaluation evaluate(EvalModel& model, const Tokenizer& tokenizer, const std::filesystem::path& folder,
                    const std::filesystem::path& data, const EvalFlags& flags) {
  // The first token is read, the others are foretold.
  const std::int64_t most_tokens = flags.max_tokens > 0 ? flags.max_tokens + 1 : INT64_MAX;
  const EncodedFile text = encode_text_file(data, tokenizer, most_tokens);
  warn_of_unknown(part_name(data, text, most_tokens, tokenizer), text.unknowns, tokenizer);
  EvaluationOptions options;
  options.ctx_len = flags.ctx_len > 0 ? flags.ctx_len : model.config().ctx_len;
  options.max_tokens = flags.max_tokens;
  options.stride = flags.stride;
  if (options.stride > options.ctx_len) {
    throw Error(ErrorKind::kInvalidArgument, "--stride {} leaves tokens out of windows of {}; expected at most that",
                options.stride, options.ctx_len);
  }
  // No more memory than the text can use.
  const std::int64_t predictions = count_predictions(*text.tokens, options.max_tokens);
  const std::int64_t step = options.stride > 0 ? options.stride : options.ctx_len;
  options.batch = std::min<std::int64_t>(flags.batch_size, (predictions - 1) / step + 1);
  const auto network = model.network({options.batch, std::min(options.ctx_len, predictions)}, flags.precision);

  StatusLine status;
  const char* phase = "windows";
  options.progress = [&](std::int64_t done, std::int64_t of) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted");
    const double fraction = static_cast<double>(done) / static_cast<double>(of);
    status.update(fmt::format("{} {} of {} tokens, {}", bar(fraction, 20), done, of, phase));
  };
  Evaluation e;
  e.model = folder;
  e.data = data;
  e.unit = tokenizer.unit();
  e.ctx_len = options.ctx_len;
  e.unknown = text.unknowns.count;
  e.sites = spike_sites(model.config());
  e.windows = evaluate_windows(model.config(), *network, text.tokens, options);
  if (options.stride > 0) {
    phase = "overlapping windows";
    e.sliding = evaluate_sliding(model.config(), *network, text.tokens, options);
  }
  phase = "carried state";
  e.carried = evaluate_carried(model.config(), *network, text.tokens, options);
  if (flags.words) e.words = count_words(*text.tokens, tokenizer, predictions);
  return e;
}

int eval(const EvalFlags& flags) {
  install_stop_handler();
  std::vector<Evaluation> all;
  for (const auto& folder : flags.folders) {
    EvalModel model(flags, folder);
    const auto tokenizer = load_tokenizer(folder, model.config().vocab_size);
    for (const auto& data : flags.data) all.push_back(evaluate(model, *tokenizer, folder, data, flags));
  }
  if (flags.json) {
    Json json = Json::array();
    for (const Evaluation& e : all) json.push_back(to_json(e, flags));
    fmt::print("{}\n", json_text(all.size() == 1 ? json[0] : json, 2));
  } else if (all.size() == 1) {
    print_one(all.front(), flags);
  } else {
    print_table(all, flags);
  }
  return 0;
}

}  // namespace

std::function<int()> add_eval(Flags& app) {
  app.footer(
      "Two figures: over windows that do not overlap and start without memory, and with the memory carried\n"
      "from the start of the text to its end. Examples:\n"
      "  spikegpt eval my-model --data test.txt --json\n"
      "  spikegpt eval my-model other-model --data valid.txt test.txt --stride 256 --words");
  auto flags = std::make_shared<EvalFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return eval(*flags);
  };
}

}  // namespace spikegpt::cli
