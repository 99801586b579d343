#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>

#include "spikegpt/cli/classify_training.h"
#include "spikegpt/cli/command.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/infer/log_probabilities.h"
#include "spikegpt/text/lines.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt::cli {
namespace {

void print_scores(const Scores& scores, const std::vector<std::string>& labels) {
  fmt::print("accuracy {:.2f} %, macro-F1 {:.2f} %\n\n{:>16}", 100.0 * scores.accuracy(), 100.0 * scores.macro_f1(),
             "is \\ found");
  for (const std::string& label : labels) fmt::print(" {:>8}", label);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    fmt::print("\n{:>16}", labels[i]);
    for (const std::int64_t count : scores.confusion[i]) fmt::print(" {:>8}", count);
  }
  fmt::print("\n");
}

constexpr std::int64_t kBatch = 32;

std::unique_ptr<Classifier> load_classifier(const std::filesystem::path& folder) {
  const ModelConfig config = load_config(folder / "config.json");
  return Classifier::load(folder, {kBatch, config.ctx_len, false, false});
}

int eval(const ClassifyFlags& flags) {
  const auto classifier = load_classifier(flags.folder);
  const auto tokenizer = load_tokenizer(flags.folder, classifier->config().vocab_size);
  LabelledSet set = read_set(flags.data, flags.columns());
  use_labels(classifier->labels(), flags.data.string(), set);
  const EncodedSet encoded = encode_labelled(set, *tokenizer, classifier->config().ctx_len);
  std::vector<std::size_t> which(encoded.texts.size());
  std::iota(which.begin(), which.end(), std::size_t{0});
  warn_of_unknown(flags.data.string(), unknowns_of(encoded, which), *tokenizer);
  const Scores scores = score(*classifier, encoded, which, kBatch);
  if (flags.json) {
    Json json = to_json(scores);
    json["labels"] = classifier->labels();
    json["texts"] = which.size();
    fmt::print("{}\n", json_text(json, 2));
  } else {
    fmt::print("{} texts: ", which.size());
    print_scores(scores, classifier->labels());
  }
  return 0;
}

// A line a text: label, probability, text.
int predict(const ClassifyFlags& flags) {
  const auto classifier = load_classifier(flags.folder);
  const auto tokenizer = load_tokenizer(flags.folder, classifier->config().vocab_size);
  std::string all;
  if (flags.data == "-") {
    all.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    all = read_text(flags.data);
    refuse_foreign_data(all, flags.data);
  }
  Unknowns unknowns;
  const PlainText plain(all, flags.data.string());
  for_each_line(plain.text(), [&](std::size_t number, std::string_view line) {
    const std::string text = to_utf8(line);
    Encoding encoding;
    TextCursor cursor(text);
    tokenizer->encode_into(
        text,
        [&](std::span<const TokenId> ids) {
          encoding.ids.insert(encoding.ids.end(), ids.begin(), ids.end());
        },
        [&](const Unknown& unknown) {
          if (unknown.place < classifier->config().ctx_len) {
            unknowns.add(unknown.shown, place_in_line(cursor, number, unknown));
          }
        });
    if (encoding.ids.empty()) {
      fmt::print("\n");
      return;
    }
    if (std::ssize(encoding.ids) > classifier->config().ctx_len)
      encoding.ids.resize(static_cast<std::size_t>(classifier->config().ctx_len));
    const std::int64_t length = std::ssize(encoding.ids);
    const std::span<const float> logits = classifier->logits({std::move(encoding.ids), {length}, {}});
    const auto best = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const double probability = std::exp(log_probability(logits, static_cast<std::int32_t>(best)));
    fmt::print("{}\t{:.4f}\t{}\n", classifier->labels()[best], probability, text);
  });
  warn_of_unknown("the text", unknowns, *tokenizer);
  return 0;
}

}  // namespace

std::function<int()> add_classify(Flags& app) {
  app.footer(
      "Labelled texts: a label, a space or tab, and the text on each line; .csv or .tsv with named columns; or .jsonl\n"
      "(docs/formats.md). Examples:\n"
      "  spikegpt classify train sst2 --data train.txt --dev dev.txt --test test.txt --arch event\n"
      "  spikegpt classify train mr --data reviews.txt --folds 10 --from my-model --seeds 1 2 3\n"
      "  spikegpt classify eval sst2 --data test.txt\n"
      "  echo \"what a fine film\" | spikegpt classify predict sst2 --data -\n"
      "A table that was interrupted goes on with the same command: OUT/results.json has what is done.");
  auto flags = std::make_shared<ClassifyFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    install_stop_handler();
    if (flags->what == "eval") return eval(*flags);
    if (flags->what == "predict") return predict(*flags);
    keep_working_when_output_closes();
    return train_classifiers(*flags);
  };
}

}  // namespace spikegpt::cli
