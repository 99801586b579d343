#include "spikegpt/cli/classify_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/folder_lock.h"
#include "spikegpt/core/random.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/calibration.h"

namespace spikegpt::cli {
namespace {

void validate(const ClassifySettings& s) {
  pooling(s.pooling);
  gemm_precision(s.precision);
  check_setting(s.epochs >= 1, "epochs", s.epochs, "at least 1");
  check_setting(s.batch_size >= 1 && s.batch_size <= 65536, "batch_size", s.batch_size, "1 to 65536");
  check_setting(s.lr > 0.0 && s.lr < 10.0, "lr", s.lr, "a positive number below 10");
  check_setting(s.weight_decay >= 0.0 && s.weight_decay * s.lr < 1.0, "weight_decay", s.weight_decay,
                "0 or more, below 1 / lr");
  check_setting(s.grad_clip >= 0.0, "grad_clip", s.grad_clip, "0 or more");
  check_setting(s.rate_weight >= 0.0, "rate_weight", s.rate_weight, "0 or more");
  check_setting(s.rate_target >= 0.0, "rate_target", s.rate_target, "0 or more");
  check_setting(s.patience >= 0, "patience", s.patience, "0 or more");
  check_setting(s.folds == 0 || s.folds >= 2, "folds", s.folds, "0, or at least 2");
  check_setting(s.only_folds >= 0 && s.only_folds <= s.folds, "only_folds", s.only_folds, "0 to folds");
  check_setting(s.dev_fraction >= 0.0 && s.dev_fraction < 1.0, "dev_fraction", s.dev_fraction, "0 to 1, without 1");
}

void check_seeds(std::vector<std::uint64_t> seeds) {
  std::sort(seeds.begin(), seeds.end());
  const auto twice = std::adjacent_find(seeds.begin(), seeds.end());
  if (twice == seeds.end()) return;
  throw Error(ErrorKind::kInvalidArgument, "--seeds has {} twice, which would be the same run again", *twice);
}

// As an earlier version of the program would have written it, had it known all fields.
template <class Fields>
Json completed(const Json& json, const std::filesystem::path& path, Fields fields) {
  read_fields(json, path.string(), fields);
  return fields_to_json(fields);
}

// All texts of a training command, in one list: those of --data, then --dev, then --test.
class ClassifyTraining {
 public:
  explicit ClassifyTraining(const ClassifyFlags& flags) : flags_(flags) {
    flags.settings.apply(settings_);
    validate(settings_);
    check_seeds(flags.seeds);
    LabelledSet set = read_set(flags.data, flags.columns());
    if (set.labels.size() < 2) {
      throw Error(ErrorKind::kInvalidArgument, "{} has one label only, {}; expected at least two", flags.data.string(),
                  set.labels[0]);
    }
    add(set, train_);
    for (auto [path, part] : {std::pair{&flags.dev, &dev_}, std::pair{&flags.test, &test_}}) {
      if (path->empty()) continue;
      LabelledSet more = read_set(*path, flags.columns());
      use_labels(all_.labels, path->string(), more);
      add(more, *part);
    }
    check_parts();
    load_model();
    encoded_ = encode_labelled(all_, *tokenizer_, config_.ctx_len);
    warn_of_unknown_texts();
    if (encoded_.cut > 0) {
      fmt::print(stderr, "spikegpt: {} of {} texts are cut after {} tokens (--ctx-len)\n", encoded_.cut,
                 encoded_.texts.size(), config_.ctx_len);
    }
  }

  void warn_of_unknown_texts() const {
    warn_of_unknown(flags_.data.string(), unknowns_of(encoded_, train_), *tokenizer_);
    warn_of_unknown(flags_.dev.string(), unknowns_of(encoded_, dev_), *tokenizer_);
    warn_of_unknown(flags_.test.string(), unknowns_of(encoded_, test_), *tokenizer_);
  }

  int run() {
    Json results = earlier_results();
    FolderLock lock(flags_.folder);
    fmt::print("{} {} x {}, {} texts, {} classes, {}\n", config_.arch, config_.n_layer, config_.n_embd, train_.size(),
               all_.labels.size(), settings_.from.empty() ? "from scratch" : "from " + settings_.from);
    for (const std::uint64_t seed : flags_.seeds) {
      const int folds = settings_.folds == 0 ? 1 : settings_.only_folds > 0 ? settings_.only_folds : settings_.folds;
      for (int fold = 0; fold < folds; ++fold) {
        if (is_done(results, seed, fold)) continue;
        results["runs"].push_back(run_one(seed, fold, lock));
        write_text_atomically(flags_.folder / "results.json", json_text(results, 1) + "\n");
      }
    }
    check_saved();
    summarise(results);
    return 0;
  }

 private:
  // Somebody may have deleted the classifier while others were trained.
  void check_saved() const {
    for (const std::filesystem::path& file : saved_) {
      if (std::filesystem::exists(file)) continue;
      throw Error(ErrorKind::kIo, "{} was deleted meanwhile; the results are in {}", file.string(),
                  (flags_.folder / "results.json").string());
    }
  }

  void add(LabelledSet& set, std::vector<std::size_t>& part) {
    if (all_.labels.empty()) all_.labels = set.labels;
    for (Example& example : set.examples) {
      part.push_back(all_.examples.size());
      all_.examples.push_back(std::move(example));
    }
  }

  // Every run must have texts to learn from.
  void check_parts() const {
    const auto texts = static_cast<std::int64_t>(train_.size());
    if (settings_.folds > texts) {
      throw Error(ErrorKind::kInvalidArgument, "--folds {}: {} has only {} texts; expected 0, or 2 to {}",
                  settings_.folds, flags_.data.string(), texts, texts);
    }
    const Split first = split(0);
    if (first.train.empty()) {
      throw Error(ErrorKind::kInvalidArgument,
                  "of {} texts none is left to learn from: {} are held out (--folds {}, --dev-fraction {})", texts,
                  first.dev.size() + first.test.size(), settings_.folds, settings_.dev_fraction);
    }
    if (first.dev.empty() && settings_.patience > 0) {
      throw Error(ErrorKind::kInvalidArgument, "--patience {} waits for the score of a --dev set, and there is none",
                  settings_.patience);
    }
  }

  void load_model() {
    if (!settings_.from.empty()) {
      source_ = spikegpt::load_model(settings_.from);
      config_ = source_.config;
      tokenizer_ = load_tokenizer(settings_.from, config_.vocab_size);
      flags_.model.apply(config_);
      return;
    }
    ModelConfig chosen;
    flags_.model.apply(chosen);
    config_ = default_config(chosen.arch);
    config_.n_layer = 4;
    config_.n_embd = 128;
    config_.ctx_len = 256;
    flags_.model.apply(config_);
    std::string corpus;
    for (const std::size_t i : train_) corpus += all_.examples[i].text + "\n";
    tokenizer_ = std::filesystem::exists(settings_.tokenizer) ? load_tokenizer(settings_.tokenizer)
                                                              : make_tokenizer(settings_.tokenizer, corpus);
    config_.vocab_size = static_cast<int>(tokenizer_->vocab_size());
    spikegpt::validate(config_);
  }

  Json description() const {
    Json json;
    json["data"] = detail::to_json_value(std::filesystem::absolute(flags_.data).string());
    json["settings"] = fields_to_json(settings_);
    json["settings"].erase("only_folds");  // more of them may be asked for later
    json["model"] = fields_to_json(config_);
    return json;
  }

  Json earlier_results() const {
    const auto path = flags_.folder / "results.json";
    Json now = description();
    if (!std::filesystem::exists(path)) {
      refuse_used_folder(flags_.folder);
      make_folder(flags_.folder);
      now["runs"] = Json::array();
      write_text_atomically(path, json_text(now, 1) + "\n");  // from here on the folder is ours
      return now;
    }
    Json earlier = read_json_file(path);
    if (earlier.is_object() && earlier.contains("settings") && earlier.contains("model")) {
      earlier["settings"] = completed(earlier["settings"], path, ClassifySettings());
      earlier["settings"].erase("only_folds");
      earlier["model"] = completed(earlier["model"], path, ModelConfig());
    }
    for (const auto& [key, value] : now.items()) {
      if (earlier.is_object() && earlier.contains("runs") && earlier.contains(key) && earlier[key] == value) continue;
      throw Error(ErrorKind::kInvalidArgument, "{} holds results with another \"{}\"; choose another folder",
                  path.string(), key);
    }
    return earlier;
  }

  static bool is_done(const Json& results, std::uint64_t seed, int fold) {
    return std::any_of(results["runs"].begin(), results["runs"].end(), [&](const Json& run) {
      return run.value("seed", std::uint64_t{0}) == seed && run.value("fold", -1) == fold;
    });
  }

  struct Split {
    std::vector<std::size_t> train;
    std::vector<std::size_t> dev;
    std::vector<std::size_t> test;
  };
  // Folds are the same for every seed and architecture; what chooses the epoch is drawn from the rest.
  Split split(int fold) const {
    Split split = {{}, dev_, test_};
    std::vector<std::size_t> order = train_;
    std::mt19937_64 random(20230227);
    shuffle(order, random);
    std::vector<std::size_t> rest;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool held_out =
          settings_.folds > 0 && static_cast<int>(i % static_cast<std::size_t>(settings_.folds)) == fold;
      (held_out ? split.test : rest).push_back(order[i]);
    }
    std::size_t chosen = 0;
    if (dev_.empty() && settings_.dev_fraction > 0.0 && rest.size() > 1) {
      chosen =
          std::max<std::size_t>(1, static_cast<std::size_t>(settings_.dev_fraction * static_cast<double>(rest.size())));
    }
    split.dev.insert(split.dev.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(chosen));
    split.train.assign(rest.begin() + static_cast<std::ptrdiff_t>(chosen), rest.end());
    return split;
  }

  std::unique_ptr<Classifier> make_classifier(std::uint64_t seed, const Split& split) const {
    TrainConfig train;
    train.seed = seed;
    train.weight_decay = settings_.weight_decay;
    train.grad_clip = settings_.grad_clip;
    train.rate_weight = settings_.rate_weight;
    train.rate_target = settings_.rate_target;
    train.precision = settings_.precision;
    train.beta2 = 0.999;
    train.eps = 1e-8;
    auto classifier = std::make_unique<Classifier>(config_, all_.labels, pooling(settings_.pooling), train,
                                                   ActivationPlan{settings_.batch_size, config_.ctx_len, true, false});
    if (!settings_.from.empty()) {
      classifier->set_parameters(source_.parameters.span());
      return classifier;
    }
    initialise(config_, init_kind("default"), seed, classifier->parameters().data());
    std::vector<TokenId> first;
    for (std::size_t i = 0; i < split.train.size() && first.size() < 256; ++i) {
      const auto& text = encoded_.texts[split.train[i]];
      first.insert(first.end(), text.begin(), text.end());
    }
    calibrate_gains(config_, first, classifier->parameters().data());
    classifier->parameters_changed();
    return classifier;
  }

  Json run_one(std::uint64_t seed, int fold, FolderLock& lock) {
    const Split parts = split(fold);
    const auto classifier = make_classifier(seed, parts);
    const std::string name =
        settings_.folds > 0 ? fmt::format("seed {}, fold {}", seed, fold + 1) : fmt::format("seed {}", seed);
    StatusLine status;
    FitObserver observer;
    observer.on_batch = [&](const FitProgress& p) {
      if (stop_requested())
        throw Error(ErrorKind::kCancelled, "interrupted; the same command goes on with what is not done");
      status.update(fmt::format("{}: epoch {} of {} {}  loss {:.4f}  fire {:.1f}%", name, p.epoch, settings_.epochs,
                                bar(static_cast<double>(p.batch) / static_cast<double>(p.batches), 16), p.loss,
                                100.0 * classifier->firing_rate()));
    };
    observer.on_epoch = [&](int epoch, double loss, const Scores& dev) {
      status.clear();
      const std::string score = parts.dev.empty() ? "" : fmt::format("  dev {:.2f} %", 100.0 * dev.accuracy());
      fmt::print("{}: epoch {:>2}  loss {:.4f}{}\n", name, epoch, loss, score);
      std::fflush(stdout);
    };
    const FitOptions options = {settings_.epochs, static_cast<std::size_t>(settings_.batch_size), settings_.lr,
                                settings_.patience, seed};
    const int epoch = fit(*classifier, encoded_, parts.train, parts.dev, options, observer);
    Json json = {{"seed", seed}, {"fold", fold}, {"epoch", epoch}};
    if (!parts.dev.empty()) json["dev"] = to_json(score(*classifier, encoded_, parts.dev, options.batch_size));
    if (!parts.test.empty()) {
      const Scores scores = score(*classifier, encoded_, parts.test, options.batch_size);
      json["test"] = to_json(scores);
      fmt::print("{}: test {:.2f} % (epoch {})\n", name, 100.0 * scores.accuracy(), epoch);
    }
    json["firing_rate"] = classifier->firing_rate();
    lock.check_folder();
    if (settings_.folds == 0 && seed == flags_.seeds.front()) {
      classifier->save(flags_.folder);
      tokenizer_->save(flags_.folder);
      for (const char* file : {"config.json", "model.safetensors", "classifier.safetensors"}) {
        saved_.push_back(flags_.folder / file);
      }
      if (const auto file = find_tokenizer(flags_.folder)) saved_.push_back(*file);
    }
    return json;
  }

  void summarise(const Json& results) const {
    for (const char* part : {"dev", "test"}) {
      std::vector<double> values;
      for (const Json& run : results["runs"]) {
        if (run.contains(part)) values.push_back(100.0 * run[part]["accuracy"].get<double>());
      }
      if (values.empty()) continue;
      const auto n = static_cast<double>(values.size());
      const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
      double squares = 0.0;
      for (const double value : values) squares += (value - mean) * (value - mean);
      fmt::print("{}: accuracy {:.2f} %, deviation {:.2f}, {} runs\n", part, mean,
                 values.size() > 1 ? std::sqrt(squares / (n - 1.0)) : 0.0, values.size());
    }
    fmt::print("results are in {}\n", (flags_.folder / "results.json").string());
  }

  const ClassifyFlags& flags_;
  ClassifySettings settings_;
  LabelledSet all_;
  std::vector<std::size_t> train_;
  std::vector<std::size_t> dev_;
  std::vector<std::size_t> test_;
  StoredModel source_;
  ModelConfig config_;
  std::unique_ptr<Tokenizer> tokenizer_;
  EncodedSet encoded_;
  std::vector<std::filesystem::path> saved_;
};

}  // namespace

LabelledSet read_set(const std::filesystem::path& path, const LabelledColumns& columns) {
  LabelledSet set = read_labelled(path, columns);
  if (set.from_latin1 > 0) {
    fmt::print(stderr, "spikegpt: {}: {} texts are not UTF-8 and were read as Latin-1\n", path.string(),
               set.from_latin1);
  }
  return set;
}

Json to_json(const Scores& scores) {
  return {{"accuracy", scores.accuracy()}, {"macro_f1", scores.macro_f1()}, {"confusion", scores.confusion}};
}

int train_classifiers(const ClassifyFlags& flags) { return ClassifyTraining(flags).run(); }

}  // namespace spikegpt::cli
