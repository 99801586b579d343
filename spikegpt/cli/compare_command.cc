#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "spikegpt/model/architecture.h"
#include "spikegpt/cli/command.h"
#include "spikegpt/cli/compared_run.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/folder_lock.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

// Model settings that would not make sense for all three, or that the data decide.
std::vector<std::string> fixed_model() {
  std::vector<std::string> keys = {
      "arch",         "vocab_size",    "binary_embedding", "event_head",     "published_rescale",
      "tau",          "v_threshold",   "v_reset",          "decay_input",    "detach_reset",
      "spike_levels", "signed_spikes", "squared_current",  "attention_norm", "learnable_tau",
      "surrogate",    "alpha"};
  const ModelConfig any;
  ModelConfig::visit_optional(any, [&](const char* key, const auto&, const char*) { keys.emplace_back(key); });
  return keys;
}

struct CompareFlags {
  explicit CompareFlags(Flags& app)
      : model(app, "Model", fixed_model()), train(app, "Training", {"seed", "freeze", "reinit"}) {
    app.add("--data", data, "text to learn from; its end is held out").required();
    app.add("--valid", valid, "held-out text instead");
    app.add("--tokenizer", tokenizer, "chars, bytes, or a tokenizer.json").show_default();
    app.add("--out", out, "folder for the models, compare.json, compare.md and compare.html").required();
    app.add("--preset", preset, "named size (spikegpt inspect --presets), unless flags under Model say otherwise")
        .show_default();
    app.add("--archs", archs, "which of rwkv, spikegpt, event")
        .separated_by(',')
        .show_default()
        .one_of({"rwkv", "spikegpt", "event"});
    app.add("--seeds", seeds, "a model of each architecture for every seed, as 1,2,3").separated_by(',').show_default();
    app.add("--energy-tokens", energy_tokens, "held-out tokens to count operations on")
        .show_default()
        .between(std::int64_t{1}, std::int64_t{1} << 40);
  }

  std::string data;
  std::string valid;
  std::string tokenizer = "chars";
  std::filesystem::path out;
  std::string preset = "tiny";
  std::vector<std::string> archs = {"rwkv", "spikegpt", "event"};
  std::vector<std::uint64_t> seeds = {1};
  std::int64_t energy_tokens = 20000;
  FieldFlags<ModelConfig> model;
  FieldFlags<TrainConfig> train;
};

ComparedRun run_of(const CompareFlags& flags, const std::string& arch, std::uint64_t seed) {
  ComparedRun run;
  run.folder = flags.out / fmt::format("{}-{}", arch, seed);
  run.settings.run.data = std::filesystem::absolute(flags.data).string();
  if (!flags.valid.empty()) run.settings.run.valid = std::filesystem::absolute(flags.valid).string();
  run.settings.run.tokenizer = flags.tokenizer;
  run.settings.model = default_config(arch);
  apply_preset(flags.preset, run.settings.model);
  flags.model.apply(run.settings.model);
  flags.train.apply(run.settings.train);
  run.settings.train.seed = seed;
  if (!architecture_of(arch).reads_spikes()) {  // spikegpt as published has no price of firing
    TrainConfig& train = run.settings.train;
    train.rate_weight = train.synop_weight = train.row_weight = 0.0;
  }
  return run;
}

std::vector<ComparedRun> runs_of(const CompareFlags& flags) {
  std::vector<ComparedRun> runs;
  std::set<std::filesystem::path> folders;
  for (const std::uint64_t seed : flags.seeds) {
    for (const std::string& arch : flags.archs) {
      ComparedRun run = run_of(flags, arch, seed);
      if (folders.insert(run.folder).second) runs.push_back(std::move(run));
    }
  }
  return runs;
}

Comparison describe(const CompareFlags& flags, const std::vector<ComparedRun>& runs,
                    std::vector<ComparedModel> models) {
  const TrainSettings& settings = runs.front().settings;
  Comparison comparison;
  comparison.title =
      fmt::format("{} on {}", fmt::join(flags.archs, ", "), std::filesystem::path(flags.data).filename().string());
  const std::string length = settings.train.minutes > 0.0 ? fmt::format("{} minutes", settings.train.minutes)
                                                          : fmt::format("{} steps", settings.train.steps);
  comparison.about = fmt::format(
      "{} x {}, {} of {} x {} tokens each, learning rate {:g} to {:g}, the same batches in the same order for one "
      "seed. Energy: the "
      "first {} held-out tokens. Speed: int8 weights, one token at a time, the best of {} rounds in turns.",
      settings.model.n_layer, settings.model.n_embd, length, settings.train.batch_size * settings.train.accumulate,
      settings.model.ctx_len, settings.train.lr, settings.train.lr_final, flags.energy_tokens, kSpeedRounds);
  comparison.unit = load_tokenizer(runs.front().folder)->unit();
  comparison.models = std::move(models);
  return comparison;
}

Json to_json(const Comparison& comparison) {
  Json json = {
      {"title", comparison.title}, {"about", comparison.about}, {"unit", comparison.unit}, {"models", Json::array()}};
  for (const ComparedModel& m : comparison.models) {
    json["models"].push_back({{"arch", m.arch},
                              {"seed", m.seed},
                              {"parameters", m.parameters},
                              {"bits", m.bits},
                              {"firing_rate", m.firing_rate},
                              {"joules_twin", m.joules_twin},
                              {"joules_paper", m.joules_paper},
                              {"joules_needed", m.joules_needed},
                              {"dense_tokens_per_second", m.dense_speed},
                              {"event_tokens_per_second", m.event_speed}});
  }
  return json;
}

void print_table(const HtmlTable& table) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(cell.size());
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto print_row = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i == 0) {
        fmt::print("{:<{}}", row[i], widths[i]);
      } else {
        fmt::print("  {:>{}}", row[i], widths[i]);
      }
    }
    fmt::print("\n");
  };
  print_row(table.header);
  for (const auto& row : table.rows) print_row(row);
}

// A comparison that was begun goes on; what is not its own stays.
void check_place(const CompareFlags& flags, const std::vector<ComparedRun>& runs) {
  const std::vector<std::filesystem::path> sources = {flags.data, flags.valid};
  refuse_output_inside(flags.out, sources);
  if (std::none_of(runs.begin(), runs.end(), has_begun)) refuse_used_folder(flags.out);
  for (const ComparedRun& run : runs) {
    if (!has_begun(run)) refuse_used_folder(run.folder);
  }
}

int compare(const CompareFlags& flags) {
  if (flags.archs.empty() || flags.seeds.empty())
    throw Error(ErrorKind::kInvalidArgument, "--archs and --seeds need one each at least");
  const std::vector<ComparedRun> runs = runs_of(flags);
  for (const ComparedRun& run : runs) check_compared(run);
  check_place(flags, runs);
  make_folder(flags.out);
  const FolderLock lock(flags.out);
  install_stop_handler();
  std::vector<ComparedModel> models;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    fmt::print("\n== {} ({} of {})\n", runs[i].name(), i + 1, runs.size());
    if (!train_compared(runs[i])) {
      fmt::print("\nstopped; the same command goes on\n");
      return kInterrupted;
    }
    models.push_back(measure_compared(runs[i], flags.energy_tokens));
  }
  measure_speeds(runs, flags.out, models);
  const Comparison comparison = describe(flags, runs, std::move(models));
  write_text_atomically(flags.out / "compare.json", json_text(to_json(comparison), 2) + "\n");
  write_text_atomically(flags.out / "compare.md", comparison_markdown(comparison));
  write_text_atomically(flags.out / "compare.html", comparison_page(comparison));
  fmt::print("\n");
  print_table(comparison_table(comparison));
  fmt::print("\n{} has the curves\n", (flags.out / "compare.html").string());
  return 0;
}

}  // namespace

std::function<int()> add_compare(Flags& app) {
  app.footer(
      "Trains a model of each architecture on the same text with the same batches, then measures each: bits on the "
      "held-out text, operations\n"
      "and their energy in three accounts (docs/energy.md), speed of decoding. What is finished is kept: after Ctrl-C "
      "the same command\n"
      "goes on. Prices (--row-weight, ...) are for event only; the others are trained as published. Example:\n"
      "  spikegpt compare --data book.txt --out compared --steps 700 --batch-size 8 --lr 2e-3 --seeds 1,2");
  auto flags = std::make_shared<CompareFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    keep_working_when_output_closes();
    return compare(*flags);
  };
}

}  // namespace spikegpt::cli
