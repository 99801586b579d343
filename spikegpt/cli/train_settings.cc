#include "spikegpt/cli/train_settings.h"

#include "spikegpt/cli/toml_file.h"
#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"

namespace spikegpt::cli {
namespace {

// The part of a flat object whose keys are fields of `Fields`.
template <class Fields>
Json part_of(const Json& all) {
  Json part = Json::object();
  for (const auto& [key, value] : all.items()) {
    if (has_field<Fields>(key)) part[key] = value;
  }
  return part;
}

void check_keys(const Json& all, const std::string& where) {
  for (const auto& [key, value] : all.items()) {
    const bool known =
        key == "preset" || has_field<RunFields>(key) || has_field<ModelConfig>(key) || has_field<TrainConfig>(key);
    if (!known) {
      throw Error(ErrorKind::kInvalidArgument,
                  "{}: unknown key \"{}\"; the keys are the flags of spikegpt train --help, with _ for -", where, key);
    }
  }
}

}  // namespace

TrainFlags::TrainFlags(CLI::App& app)
    : run_(app, "Data"), model_(app, "Model", {"vocab_size"}), train_(app, "Training") {
  app.add_option("--out", out_, "folder for the model, its checkpoints and metrics.jsonl")->required();
  app.add_option("--config", config_path_, "TOML file with any of these flags as keys");
  app.add_option("--preset", preset_, "named size: see spikegpt inspect --presets");
  app.add_flag("--resume", resume_, "go on with the run in --out as if it had never stopped");
  app.add_flag("--dry-run", dry_run_, "only say what memory, disk and time the run would take");
  app.add_option("--patience", patience_, "under mpirun: seconds without a sign of life until a process counts as lost")
      ->check(finite_range(1.0, 1e6));
  app.add_option("--sample-prompt", sample_prompt_, "what the sample texts begin with");
}

Json TrainFlags::config_file() const {
  if (config_path_.empty()) return Json::object();
  Json file = read_toml(config_path_);
  check_keys(file, config_path_.string());
  return file;
}

std::string TrainFlags::preset(const Json& file) const {
  if (!preset_.empty() || !file.contains("preset")) return preset_;
  if (file["preset"].is_string()) return file["preset"].get<std::string>();
  throw Error(ErrorKind::kInvalidArgument, "{}: \"preset\" is not a string", config_path_.string());
}

// Before flags and file have their say: the defaults of the architecture that they name.
ModelConfig TrainFlags::first_model(const Json& file) const {
  ModelConfig chosen;
  read_fields(part_of<ModelConfig>(file), config_path_.string(), chosen);
  model_.apply(chosen);
  ModelConfig model = default_config(chosen.arch);
  if (const std::string name = preset(file); !name.empty()) apply_preset(name, model);
  return model;
}

// The same for fine-tuning: the model of the folder; in another architecture only its sizes.
ModelConfig TrainFlags::model_of(const std::string& from, const Json& file) const {
  if (!preset(file).empty()) {
    throw Error(ErrorKind::kInvalidArgument, "--preset and --from both say how large the model is; leave one away");
  }
  const ModelConfig source = load_config(std::filesystem::path(from) / "config.json");
  ModelConfig chosen = source;
  read_fields(part_of<ModelConfig>(file), config_path_.string(), chosen);
  model_.apply(chosen);
  ModelConfig model = chosen.arch == source.arch ? source : default_config(chosen.arch, source);
  if (run_.given("tokenizer") || file.contains("tokenizer")) model.vocab_size = 0;
  return model;
}

TrainSettings TrainFlags::settings() const {
  const Json file = config_file();
  const std::string where = config_path_.string();
  TrainSettings settings;
  if (resume_) settings = load_settings(out_);
  read_fields(part_of<RunFields>(file), where, settings.run);
  read_fields(part_of<TrainConfig>(file), where, settings.train);
  run_.apply(settings.run);
  train_.apply(settings.train);
  if (!resume_) {
    const std::string& from = settings.run.from;
    settings.model = from.empty() ? first_model(file) : model_of(from, file);
    if (!from.empty() && settings.model.vocab_size != 0) settings.run.tokenizer = from;
  }
  read_fields(part_of<ModelConfig>(file), where, settings.model);
  model_.apply(settings.model);
  if (settings.run.data.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "--data FILE is missing: the text to learn from");
  }
  if (settings.run.from.empty() && !settings.train.reinit.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "--reinit names parameters to leave out of --from DIR, which is missing");
  }
  return settings;
}

void save_settings(const std::filesystem::path& folder, const TrainSettings& settings) {
  TrainSettings anywhere = settings;  // so that the run can be gone on with from any folder
  const auto from_root = [](std::string& path) {
    if (!path.empty()) path = std::filesystem::absolute(path).string();
  };
  from_root(anywhere.run.data);
  from_root(anywhere.run.valid);
  from_root(anywhere.run.from);
  for (std::string& source : anywhere.run.more) from_root(source);
  Json json;
  json["run"] = fields_to_json(anywhere.run);
  json["model"] = fields_to_json(settings.model);
  json["train"] = fields_to_json(settings.train);
  write_text_atomically(folder / "train.json", json_text(json, 2) + "\n");
}

TrainSettings load_settings(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "train.json";
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorKind::kNotFound, "{} has no run to resume: it has no train.json", folder.string());
  }
  const Json json = read_json_file(path);
  TrainSettings settings;
  const std::string where = path.string();
  for (const char* part : {"run", "model", "train"}) {
    if (!json.is_object() || !json.contains(part) || !json[part].is_object()) {
      throw Error(ErrorKind::kCorruptFile, "{}: expected an object \"{}\"", where, part);
    }
  }
  read_fields(json["run"], where, settings.run);
  read_fields(json["model"], where, settings.model);
  read_fields(json["train"], where, settings.train);
  return settings;
}

}  // namespace spikegpt::cli
