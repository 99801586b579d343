// Learning to classify: batches by length, epochs, the best by development set.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "spikegpt/data/labelled_set.h"
#include "spikegpt/data/text_corpus.h"
#include "spikegpt/train/classifier.h"

namespace spikegpt {

struct EncodedSet {
  std::vector<std::vector<TokenId>> texts;
  std::vector<std::int32_t> labels;
  std::int64_t cut = 0;  // texts longer than the limit
  std::vector<Unknowns> unknowns;  // of each text, as far as it is read
};

// At most `longest` tokens of each text.
EncodedSet encode_labelled(const LabelledSet& set, const Tokenizer& tokenizer, std::int64_t longest);
// Of texts `which` together.
Unknowns unknowns_of(const EncodedSet& set, std::span<const std::size_t> which);

// Texts `which` of the set, those of like length together; every one is in exactly one batch. `seed` draws another
// order and other neighbours; 0 = longest first.
std::vector<ClassifierBatch> make_batches(const EncodedSet& set, std::span<const std::size_t> which,
                                          std::size_t batch_size, std::uint64_t seed);

struct Scores {
  std::vector<std::vector<std::int64_t>> confusion;  // [label][predicted]
  double loss = 0.0;                                 // mean -ln of the probability of the true label [nats]
  double accuracy() const;
  // Mean over the classes of 2 TP / (2 TP + FP + FN); a class that is neither there nor predicted counts 0.
  double macro_f1() const;
};

Scores score(Classifier& classifier, const EncodedSet& set, std::span<const std::size_t> which, std::size_t batch_size);

// Whether `a` is to be kept rather than `b`: more are right or, when as many are, it is surer of the right
// ones.
bool is_better(const Scores& a, const Scores& b);

struct FitOptions {
  int epochs = 20;
  std::size_t batch_size = 32;
  double lr = 1e-4;
  int patience = 0;  // epochs that are not better on the development set before it stops; 0 = never
  std::uint64_t seed = 1;
};

struct FitProgress {
  int epoch = 0;  // from 1
  std::size_t batch = 0;
  std::size_t batches = 0;
  double loss = 0.0;  // mean of the epoch so far
};

// What is called after every batch, and what after every epoch with the score on the development set. Throwing ends it.
struct FitObserver {
  std::function<void(const FitProgress&)> on_batch;
  std::function<void(int epoch, double loss, const Scores& dev)> on_epoch;
};

// Trains on `train`; the weights of the epoch that is best on `dev` (is_better) are kept, or the last where
// `dev` is empty. Returns that epoch.
int fit(Classifier& classifier, const EncodedSet& set, std::span<const std::size_t> train,
        std::span<const std::size_t> dev, const FitOptions& options, const FitObserver& observer);

}  // namespace spikegpt
