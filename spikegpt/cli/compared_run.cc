#include "spikegpt/cli/compared_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "spikegpt/cli/bench_decode.h"
#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/run_setup.h"
#include "spikegpt/cli/train_display.h"
#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/energy/accounting.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/evaluation.h"

namespace spikegpt::cli {
namespace {

constexpr std::int64_t kDecodedText = 4096;  // tokens

// A mended or reused folder must not mix two comparisons. What the data decide is not compared.
void check_same(const std::filesystem::path& folder, const Json& before, const Json& now) {
  for (const auto& [key, value] : now.items()) {
    if (key == "vocab_size" || before.value(key, Json()) == value) continue;
    throw Error(ErrorKind::kInvalidArgument,
                "{} was begun with {} = {}, now it is {}; give the same flags, or choose another --out",
                folder.string(), key, json_text(before.value(key, Json())), json_text(value));
  }
}

void check_held_out(const TextCorpus& corpus) {
  const std::int64_t size = corpus.valid ? corpus.valid->size() : 0;
  if (size >= kLeastDecodeText) return;
  throw Error(ErrorKind::kInvalidArgument,
              "{} {}s are held out; to compare models takes {}: give a longer text, --valid, or --valid-fraction", size,
              corpus.tokenizer->unit(), kLeastDecodeText);
}

// A file of ours that holds a JSON object, if it is there and whole.
std::optional<Json> read_kept(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  Json json = read_json_file(path);
  return json.is_object() ? std::optional(std::move(json)) : std::nullopt;
}

void keep(const std::filesystem::path& path, const Json& json) {
  write_text_atomically(path, json_text(json, 2) + "\n");
}

// The same text that training held out.
TextCorpus corpus_of(const ComparedRun& run) {
  TrainSettings settings = run.settings;
  return make_run_setup(run.folder, settings, RunPurpose::kResume).corpus;
}

double joules_per_token(const EnergyAccount& account, Accounting accounting, const PriceTable& prices) {
  return energy(account.total(accounting), prices) / static_cast<double>(account.tokens());
}

Json measured(const ComparedRun& run, std::int64_t energy_tokens) {
  const StoredModel model = load_model(run.folder);
  const TokenStreamPtr held_out = corpus_of(run).valid;
  StatusLine status;
  const auto tell = [&](const char* what, std::int64_t done, std::int64_t all) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "stopped; the same command goes on");
    status.update(fmt::format("{}: {} {} {} of {}", run.name(), what,
                              bar(static_cast<double>(done) / static_cast<double>(all), 20), done, all));
  };
  EvaluationOptions options;
  options.ctx_len = model.config.ctx_len;
  options.batch = run.settings.train.batch_size;
  options.progress = [&](std::int64_t done, std::int64_t all) { tell("held-out text", done, all); };
  const auto network = make_network(model.config, {GemmPrecision::kF32, {options.batch, options.ctx_len}});
  network->set_parameters(model.parameters.data());
  const EvaluationResult quality = evaluate_windows(model.config, *network, held_out, options);
  std::vector<TokenId> tokens(static_cast<std::size_t>(std::min(energy_tokens, held_out->size())));
  held_out->read(0, tokens);
  const EnergyAccount account(model.config, model.parameters.data(), tokens,
                              [&](std::int64_t done) { tell("energy", done, std::ssize(tokens)); });
  const PriceTable prices = load_prices("45nm");
  return {{"parameters", ParameterLayout(model.config).parameter_count()},
          {"bits", quality.bits()},
          {"held_out_tokens", quality.tokens},
          {"firing_rate", quality.activity.firing_rate},
          {"joules_twin", joules_per_token(account, Accounting::kTwin, prices)},
          {"joules_paper", joules_per_token(account, Accounting::kPaper, prices)},
          {"joules_needed", joules_per_token(account, Accounting::kNeeded, prices)},
          {"energy_tokens", account.tokens()}};
}

DecodeModel decode_model_of(const ComparedRun& run) {
  StoredModel stored = load_model(run.folder);
  const TokenStreamPtr held_out = corpus_of(run).valid;
  DecodeModel model;
  model.config = stored.config;
  model.parameters = std::move(stored.parameters);
  model.text.resize(static_cast<std::size_t>(std::min(kDecodedText, held_out->size())));
  held_out->read(0, model.text);
  return model;
}

void keep_faster(const Json& rows, ComparedModel& model) {
  for (const Json& row : rows) {
    double& best = row["path"] == "dense" ? model.dense_speed : model.event_speed;
    best = std::max(best, row["tokens_per_second"].get<double>());
  }
}

}  // namespace

bool has_begun(const ComparedRun& run) { return std::filesystem::exists(run.folder / "train.json"); }

void check_compared(const ComparedRun& run) {
  validate(run.settings.train);
  ModelConfig shape = run.settings.model;
  shape.vocab_size = std::max(shape.vocab_size, 1);
  validate(shape);
  if (!has_begun(run)) return;
  const TrainSettings before = load_settings(run.folder);
  check_same(run.folder, fields_to_json(before.run), fields_to_json(run.settings.run));
  check_same(run.folder, fields_to_json(before.model), fields_to_json(run.settings.model));
  check_same(run.folder, fields_to_json(before.train), fields_to_json(run.settings.train));
}

bool train_compared(const ComparedRun& run) {
  if (read_kept(run.folder / "measured.json")) return true;
  const bool resume = has_begun(run);
  TrainSettings settings = run.settings;
  RunSetup setup = make_run_setup(run.folder, settings, resume ? RunPurpose::kResume : RunPurpose::kNew);
  const TextCorpus corpus = setup.corpus;
  check_held_out(corpus);
  setup.describe = [&] { save_description(run.folder, settings, *corpus.tokenizer, true); };
  TrainDisplay display(settings.model, settings.train, *corpus.tokenizer, "");
  TrainingRun training(std::move(setup), resume);
  save_description(run.folder, settings, *corpus.tokenizer, resume);
  display.print_start(training.trainer(), corpus);
  return training.run(stop_requested(), display).finished;
}

ComparedModel measure_compared(const ComparedRun& run, std::int64_t energy_tokens) {
  const std::filesystem::path path = run.folder / "measured.json";
  std::optional<Json> json = read_kept(path);
  if (!json) {
    json = measured(run, energy_tokens);
    keep(path, *json);
  }
  ComparedModel model;
  model.arch = run.settings.model.arch;
  model.seed = run.settings.train.seed;
  model.parameters = json->at("parameters").get<std::int64_t>();
  model.bits = json->at("bits").get<double>();
  model.firing_rate = json->at("firing_rate").get<double>();
  model.joules_twin = json->at("joules_twin").get<double>();
  model.joules_paper = json->at("joules_paper").get<double>();
  model.joules_needed = json->at("joules_needed").get<double>();
  model.log = read_run(run.folder);
  return model;
}

void measure_speeds(const std::vector<ComparedRun>& runs, const std::filesystem::path& out,
                    std::vector<ComparedModel>& models) {
  const std::optional<Json> kept = read_kept(out / "speed.json");
  const bool is_known =
      kept && std::all_of(runs.begin(), runs.end(), [&](const ComparedRun& run) { return kept->contains(run.name()); });
  Json speeds = is_known ? *kept : Json::object();
  for (int round = 0; round < kSpeedRounds && !is_known; ++round) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (stop_requested()) throw Error(ErrorKind::kCancelled, "stopped; the same command goes on");
      fmt::print(stderr, "decoding speed of {}, round {} of {}\n", runs[i].name(), round + 1, kSpeedRounds);
      keep_faster(bench_decode(decode_model_of(runs[i]), {WeightType::kInt8}), models[i]);
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (is_known) {
      models[i].dense_speed = speeds[runs[i].name()].at("dense").get<double>();
      models[i].event_speed = speeds[runs[i].name()].at("events").get<double>();
    } else {
      speeds[runs[i].name()] = {{"dense", models[i].dense_speed}, {"events", models[i].event_speed}};
    }
  }
  if (!is_known) keep(out / "speed.json", speeds);
}

}  // namespace spikegpt::cli
