// Everything `spikegpt train` is told: by preset, configuration file, flags, and the folder it goes on in.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/cli/field_flags.h"
#include "spikegpt/model/config.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt::cli {

struct RunFields {
  std::string data;
  std::vector<std::string> more;
  std::string valid;
  std::string tokenizer = "chars";
  std::string from;

  // As ModelConfig::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("data", self.data, "what to learn from: text, a folder of text, JSON lines, or .bin/.idx");
    visitor("more", self.more, "further data as PATH or PATH:WEIGHT; windows are drawn by weight (--data has 1)");
    visitor("valid", self.valid, "held-out text; without it the end of --data is held out");
    visitor("tokenizer", self.tokenizer, "chars (Unicode characters), bytes (any file), or a tokenizer.json");
    visitor("from", self.from, "model folder to fine-tune: its sizes, its tokenizer unless --tokenizer is given");
  }
};

struct TrainSettings {
  RunFields run;
  ModelConfig model;
  TrainConfig train;
};

// The flags of `spikegpt train`, in the order in which they win: flag, configuration file, preset, default.
class TrainFlags {
 public:
  explicit TrainFlags(CLI::App& app);

  const std::filesystem::path& out() const { return out_; }
  bool resume() const { return resume_; }
  bool dry_run() const { return dry_run_; }
  const std::string& sample_prompt() const { return sample_prompt_; }
  double patience() const { return patience_; }  // [s] with other processes of a job
  // Throws Error for an unknown preset, key, or value.
  TrainSettings settings() const;

 private:
  Json config_file() const;
  std::string preset(const Json& file) const;
  ModelConfig first_model(const Json& file) const;
  ModelConfig model_of(const std::string& from, const Json& file) const;

  std::filesystem::path out_;
  std::filesystem::path config_path_;
  std::string preset_;
  std::string sample_prompt_;
  double patience_ = 30.0;
  bool resume_ = false;
  bool dry_run_ = false;
  FieldFlags<RunFields> run_;
  FieldFlags<ModelConfig> model_;
  FieldFlags<TrainConfig> train_;
};

// DIR/train.json. Reading throws Error (kNotFound, kCorruptFile).
void save_settings(const std::filesystem::path& folder, const TrainSettings& settings);
TrainSettings load_settings(const std::filesystem::path& folder);

}  // namespace spikegpt::cli
