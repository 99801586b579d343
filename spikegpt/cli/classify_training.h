// What `spikegpt classify` is told, and its training: seeds, folds, and results that go on where they stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/cli/field_flags.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/data/labelled_set.h"
#include "spikegpt/model/config.h"
#include "spikegpt/train/classifier_training.h"

namespace spikegpt::cli {

struct ClassifySettings {
  std::string from;
  std::string tokenizer = "bytes";
  std::string pooling = "mean";
  int epochs = 20;
  int batch_size = 32;
  double lr = 1e-4;
  double weight_decay = 0.01;
  double grad_clip = 1.0;
  double rate_weight = 0.0;
  double rate_target = 0.0;
  int patience = 0;
  int folds = 0;
  int only_folds = 0;
  double dev_fraction = 0.1;
  std::string label_column;
  std::string text_column;
  std::string precision = "auto";

  // As ModelConfig::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("from", self.from, "pre-trained model folder: its sizes and tokenizer; without it from scratch");
    visitor("tokenizer", self.tokenizer, "from scratch: bytes, chars, or a tokenizer.json");
    visitor("pooling", self.pooling, "what stands for a text: mean over its tokens, or last");
    visitor("epochs", self.epochs, "times through the training texts");
    visitor("batch_size", self.batch_size, "texts per step");
    visitor("lr", self.lr, "learning rate (AdamW)");
    visitor("weight_decay", self.weight_decay, "of the matrices");
    visitor("grad_clip", self.grad_clip, "largest norm of the gradient; 0 = no clipping");
    visitor("rate_weight", self.rate_weight, "price of firing: added to the loss for a mean firing rate of 1");
    visitor("rate_target", self.rate_target, "firing rate below which it costs nothing");
    visitor("patience", self.patience, "stop after so many epochs that are not better on --dev; 0 = never");
    visitor("folds", self.folds, "cross-validation over --data in so many folds; 0 = none");
    visitor("only_folds", self.only_folds, "of the folds only the first so many; 0 = all");
    visitor("dev_fraction", self.dev_fraction,
            "share of the training texts that chooses the epoch, without --dev; 0 = the last epoch counts");
    visitor("label_column", self.label_column, "table or JSON lines: name of the labels, or number from 1");
    visitor("text_column", self.text_column, "table or JSON lines: name of the texts, or number from 1");
    visitor("precision", self.precision, "matrix products in f32, bf16, or auto");
  }
};

struct ClassifyFlags {
  explicit ClassifyFlags(Flags& app)
      : settings(app, "Training", {}), model(app, "Model, from scratch", {"vocab_size", "published_rescale"}) {
    app.add("what", what, "train, eval or predict").required().one_of({"train", "eval", "predict"});
    app.add("model", folder, "folder of the classifier: made by train, used by eval and predict").required();
    app.add("--data", data, "labelled texts; for predict one text a line, - = standard input").required();
    app.add("--dev", dev, "labelled texts that choose the epoch: most right, then lowest loss");
    app.add("--test", test, "labelled texts to report on");
    app.add("--seeds", seeds, "one run for each").show_default();
    app.add_switch("--json", json, "eval: print one JSON object");
  }

  LabelledColumns columns() const { return {settings.values().label_column, settings.values().text_column}; }

  std::string what;
  std::filesystem::path folder;
  std::filesystem::path data;
  std::filesystem::path dev;
  std::filesystem::path test;
  std::vector<std::uint64_t> seeds = {1};
  bool json = false;
  FieldFlags<ClassifySettings> settings;
  FieldFlags<ModelConfig> model;
};

// Says so on standard error when texts had to be read as Latin-1. Throws Error as read_labelled.
LabelledSet read_set(const std::filesystem::path& path, const LabelledColumns& columns);

Json to_json(const Scores& scores);

// classify train. Throws Error.
int train_classifiers(const ClassifyFlags& flags);

}  // namespace spikegpt::cli
