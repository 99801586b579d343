#include "spikegpt/train/classifier_training.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "spikegpt/core/random.h"

namespace spikegpt {
namespace {

constexpr std::size_t kBatchesPerBucket = 50;  // sorted by length together: little padding, and still much chance

ClassifierBatch make_batch(const EncodedSet& set, std::span<const std::size_t> which) {
  ClassifierBatch batch;
  std::size_t longest = 0;
  for (const std::size_t i : which) longest = std::max(longest, set.texts[i].size());
  batch.tokens.assign(which.size() * longest, 0);
  for (std::size_t b = 0; b < which.size(); ++b) {
    const std::vector<TokenId>& text = set.texts[which[b]];
    std::copy(text.begin(), text.end(), batch.tokens.begin() + static_cast<std::ptrdiff_t>(b * longest));
    batch.lengths.push_back(std::ssize(text));
    batch.labels.push_back(set.labels[which[b]]);
  }
  return batch;
}

double negative_log_probability(std::span<const float> logits, std::size_t label) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) + largest - static_cast<double>(logits[label]);
}

}  // namespace

EncodedSet encode_labelled(const LabelledSet& set, const Tokenizer& tokenizer, std::int64_t longest) {
  EncodedSet encoded;
  for (const Example& example : set.examples) {
    std::vector<TokenId> ids;
    Unknowns unknowns;
    TextCursor cursor(example.text);
    tokenizer.encode_into(
        example.text, [&](std::span<const TokenId> more) { ids.insert(ids.end(), more.begin(), more.end()); },
        [&](const Unknown& unknown) {
          if (unknown.place < longest)
            unknowns.add(unknown.shown, place_in_line(cursor, example.line, unknown));
        });
    if (std::ssize(ids) > longest) {
      ids.resize(static_cast<std::size_t>(longest));
      ++encoded.cut;
    }
    encoded.texts.push_back(std::move(ids));
    encoded.unknowns.push_back(std::move(unknowns));
    encoded.labels.push_back(example.label);
  }
  return encoded;
}

Unknowns unknowns_of(const EncodedSet& set, std::span<const std::size_t> which) {
  Unknowns unknowns;
  for (const std::size_t i : which) unknowns.add(set.unknowns[i]);
  return unknowns;
}

std::vector<ClassifierBatch> make_batches(const EncodedSet& set, std::span<const std::size_t> which,
                                          std::size_t batch_size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::size_t> order(which.begin(), which.end());
  if (seed != 0) shuffle(order, random);
  const std::size_t bucket = seed != 0 ? kBatchesPerBucket * batch_size : order.size();
  for (std::size_t first = 0; first < order.size(); first += bucket) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(first + bucket, order.size()));
    std::stable_sort(begin, end,
                     [&](std::size_t a, std::size_t b) { return set.texts[a].size() > set.texts[b].size(); });
  }
  std::vector<ClassifierBatch> batches;
  for (std::size_t first = 0; first < order.size(); first += batch_size) {
    batches.push_back(make_batch(set, std::span(order).subspan(first, std::min(batch_size, order.size() - first))));
  }
  if (seed != 0) shuffle(batches, random);
  return batches;
}

double Scores::accuracy() const {
  std::int64_t right = 0;
  std::int64_t all = 0;
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    right += confusion[i][i];
    for (const std::int64_t count : confusion[i]) all += count;
  }
  return all == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(all);
}

double Scores::macro_f1() const {
  double sum = 0.0;
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    std::int64_t there = 0;
    std::int64_t predicted = 0;
    for (std::size_t j = 0; j < confusion.size(); ++j) {
      there += confusion[i][j];
      predicted += confusion[j][i];
    }
    if (there + predicted > 0)
      sum += 2.0 * static_cast<double>(confusion[i][i]) / static_cast<double>(there + predicted);
  }
  return confusion.empty() ? 0.0 : sum / static_cast<double>(confusion.size());
}

Scores score(Classifier& classifier, const EncodedSet& set, std::span<const std::size_t> which,
             std::size_t batch_size) {
  const std::size_t K = classifier.labels().size();
  Scores scores;
  scores.confusion.assign(K, std::vector<std::int64_t>(K));
  for (const ClassifierBatch& batch : make_batches(set, which, batch_size, 0)) {
    const std::span<const float> logits = classifier.logits(batch);
    for (std::size_t b = 0; b < batch.labels.size(); ++b) {
      const auto row = logits.subspan(b * K, K);
      const auto predicted = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
      const auto label = static_cast<std::size_t>(batch.labels[b]);
      ++scores.confusion[label][predicted];
      scores.loss += negative_log_probability(row, label) / static_cast<double>(which.size());
    }
  }
  return scores;
}

bool is_better(const Scores& a, const Scores& b) {
  if (a.accuracy() != b.accuracy()) return a.accuracy() > b.accuracy();
  return a.loss < b.loss;
}

int fit(Classifier& classifier, const EncodedSet& set, std::span<const std::size_t> train,
        std::span<const std::size_t> dev, const FitOptions& options, const FitObserver& observer) {
  std::vector<float> best;
  std::vector<float> best_head;
  std::optional<Scores> best_scores;
  int best_epoch = options.epochs;
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const auto batches =
        make_batches(set, train, options.batch_size, options.seed * 1000003 + static_cast<std::uint64_t>(epoch));
    double loss = 0.0;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      loss += classifier.step(batches[i], options.lr);
      if (observer.on_batch) observer.on_batch({epoch, i + 1, batches.size(), loss / static_cast<double>(i + 1)});
    }
    const Scores scores = score(classifier, set, dev, options.batch_size);
    if (observer.on_epoch) observer.on_epoch(epoch, loss / static_cast<double>(batches.size()), scores);
    if (dev.empty()) continue;
    if (!best_scores || is_better(scores, *best_scores)) {
      best_scores = scores;
      best_epoch = epoch;
      best.assign(classifier.parameters().begin(), classifier.parameters().end());
      best_head.assign(classifier.head().begin(), classifier.head().end());
    }
    if (options.patience > 0 && epoch - best_epoch >= options.patience) break;
  }
  if (!best.empty()) {
    std::copy(best_head.begin(), best_head.end(), classifier.head().begin());
    classifier.set_parameters(best);
  }
  return best_epoch;
}

}  // namespace spikegpt
