#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/spike_report.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/energy/text_pass.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/plot/canvas.h"

namespace spikegpt::cli {
namespace {

struct SpikesFlags {
  explicit SpikesFlags(Flags& app) {
    constexpr std::int64_t kMost = std::int64_t{1} << 50;
    app.add("model", folder, "folder of the model").required();
    app.add("--data", data, "text to run it on").required();
    app.add("--max-tokens", max_tokens, "only the first of the text; 0 = all")
        .show_default()
        .between(std::int64_t{0}, kMost);
    app.add("--window", window,
            "memory begins anew every so many tokens, as in training; 0 = it is carried through the text")
        .show_default()
        .between(std::int64_t{0}, kMost);
    app.add("--saturated", saturated, "a neuron is saturated when it fires in at least this share of the tokens")
        .show_default()
        .between(0.0, 1.0);
    app.add_switch("--json", json, "print one JSON object");
    app.add("--csv", csv, "folder for sites.csv, neurons.csv, intervals.csv and places.csv");
    add_force_flag(app, force);
    app.add("--plot", plot, "folder for layers.svg, neurons.svg, intervals.svg and places.svg");
  }

  std::filesystem::path folder;
  std::filesystem::path data;
  std::int64_t max_tokens = 20000;
  std::int64_t window = 0;
  double saturated = 0.95;
  bool json = false;
  std::filesystem::path csv;
  std::filesystem::path plot;
  bool force = false;
};

void watch(const SpikesFlags& flags, const StoredModel& model, const std::vector<TokenId>& tokens,
           SpikeStatistics& statistics) {
  const auto size = static_cast<std::int64_t>(tokens.size());
  StatusLine status;
  TextPass pass;
  pass.window = flags.window;
  pass.on_window = [&] { statistics.begin_window(); };
  pass.progress = [&](std::int64_t done) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted");
    status.update(
        fmt::format("{} {} of {} tokens", bar(static_cast<double>(done) / static_cast<double>(size), 20), done, size));
  };
  watch_text(model.config, model.parameters.data(), tokens, statistics, pass);
}

void check_places(const SpikesFlags& flags) {
  const auto check = [&](const std::filesystem::path& folder, const char* name, std::string_view mark) {
    if (!folder.empty() && std::filesystem::exists(folder)) refuse_other_file(folder / name, mark, flags.force);
  };
  for (const char* name : kSpikeTables) check(flags.csv, name, kSpikeTableStart);
  for (const char* name : kSpikePictures) check(flags.plot, name, kPictureMark);
}

int run(const SpikesFlags& flags) {
  check_places(flags);
  const StoredModel model = load_model(flags.folder);
  SpikeStatistics statistics(model.config);
  if (statistics.sites().empty()) {
    throw Error(ErrorKind::kInvalidArgument, "{}: arch {} has no neurons", flags.folder.string(), model.config.arch);
  }
  const auto tokenizer = load_tokenizer(flags.folder, model.config.vocab_size);
  const std::vector<TokenId> tokens = read_first_tokens(flags.data, *tokenizer, flags.max_tokens);
  const std::int64_t size = std::ssize(tokens);
  install_stop_handler();
  watch(flags, model, tokens, statistics);
  const SpikeReport report = {statistics, flags.saturated, flags.folder.filename().string()};
  if (flags.json) {
    fmt::print("{}\n", json_text(spikes_to_json(report), 2));
  } else {
    fmt::print("{} {} x {}, {} {}s, firing rate {:.2f} %\n\n", model.config.arch, model.config.n_layer,
               model.config.n_embd, size, tokenizer->unit(), 100.0 * statistics.firing_rate());
    print_spikes(report);
    fmt::print(
        "\nfiring: events per neuron and token; active: tokens with any event;\n"
        "negative: of the events; at limit: firings with as many events, or as large a\n"
        "payload, as is allowed; interval: tokens between firings, CV: its standard\n"
        "deviation / mean; dead: never; saturated: in {:g} %\n",
        100.0 * flags.saturated);
  }
  if (!flags.csv.empty()) write_spike_tables(report, flags.csv);
  if (!flags.plot.empty()) write_spike_pictures(report, flags.plot);
  return 0;
}

}  // namespace

std::function<int()> add_spikes(Flags& app) {
  app.footer(
      "Runs the model over a text and counts what every neuron does: how often it fires, how long it rests, whether it "
      "is dead or\n"
      "saturated, and how firing changes along the text. docs/spikes.md says what each figure means. Example:\n"
      "  spikegpt spikes my-model --data test.txt --csv spikes --plot spikes");
  auto flags = std::make_shared<SpikesFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return run(*flags);
  };
}

}  // namespace spikegpt::cli
