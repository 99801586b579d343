#include "spikegpt/train/classifier_training.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "spikegpt/core/error.h"
#include "spikegpt/model/init.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

ModelConfig small(const std::string& arch) {
  ModelConfig config = small_config(arch, {.n_embd = 16, .vocab_size = 12, .ctx_len = 20});
  config.dropout = 0.0;
  return config;
}

TrainConfig training() {
  TrainConfig train;
  train.precision = "f32";
  return train;
}

std::unique_ptr<Classifier> make(const ModelConfig& config, Pooling pooling,
                                 const std::vector<std::string>& labels = {"a", "b", "c"},
                                 const TrainConfig& train = training()) {
  auto classifier = std::make_unique<Classifier>(config, labels, pooling, train, ActivationPlan{8, 20, true, false});
  initialise(config, init_kind("default"), 4, classifier->parameters().data());
  classifier->parameters_changed();
  for (std::size_t i = 0; i < classifier->head().size(); ++i) classifier->head()[i] = std::sin(static_cast<float>(i));
  return classifier;
}

// Texts of all lengths; the class is whether token 1 or token 2 comes more often.
EncodedSet texts(std::size_t count) {
  EncodedSet set;
  std::uint32_t state = 9;
  const auto random = [&](std::uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % n;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(random(2));
    std::vector<TokenId> text;
    const std::uint32_t length = 3 + random(17);
    for (std::uint32_t t = 0; t < length; ++t)
      text.push_back(random(3) > 0 ? 1 + label : 3 + static_cast<TokenId>(random(9)));
    set.texts.push_back(std::move(text));
    set.labels.push_back(label);
  }
  return set;
}

std::vector<std::size_t> all_of(const EncodedSet& set) {
  std::vector<std::size_t> which(set.texts.size());
  for (std::size_t i = 0; i < which.size(); ++i) which[i] = i;
  return which;
}

class ClassifierTest : public testing::TestWithParam<const char*> {};

TEST_P(ClassifierTest, PaddingChangesNothing) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    const auto classifier = make(small(GetParam()), pooling);
    const EncodedSet set = texts(8);
    const auto together = make_batches(set, all_of(set), 8, 0);
    ASSERT_EQ(together.size(), 1u);
    const std::span<const float> found = classifier->logits(together[0]);
    const std::vector<float> padded(found.begin(), found.end());
    std::size_t row = 0;
    for (const ClassifierBatch& alone : make_batches(set, all_of(set), 1, 0)) {
      EXPECT_EQ(alone.lengths[0], static_cast<std::int64_t>(alone.tokens.size()));
      const auto logits = classifier->logits(alone);
      for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(logits[k], padded[3 * row + k], 2e-5) << row;
      ++row;
    }
  }
}

// Spikes have no derivative, so this is checked where there are none; the spiking layers' own backward passes have
// their tests in tests/model/gradient_test.cc.
TEST(Classifier, GradientsAreThoseOfFiniteDifferences) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    const auto classifier = make(small("rwkv"), pooling);
    const EncodedSet set = texts(5);
    const ClassifierBatch batch = make_batches(set, all_of(set), 8, 0)[0];
    classifier->loss_and_gradients(batch, 0);
    const std::vector<float> head(classifier->head_gradients().begin(), classifier->head_gradients().end());
    const std::vector<float> body(classifier->gradients().begin(), classifier->gradients().end());
    const auto difference = [&](float& value) {
      const float before = value;
      const float h = 1e-2f;
      value = before + h;
      classifier->parameters_changed();
      const double up = classifier->loss_and_gradients(batch, 0);
      value = before - h;
      classifier->parameters_changed();
      const double down = classifier->loss_and_gradients(batch, 0);
      value = before;
      classifier->parameters_changed();
      return (up - down) / (2.0 * static_cast<double>(h));
    };
    for (std::size_t i = 0; i < head.size(); i += 7) EXPECT_NEAR(difference(classifier->head()[i]), head[i], 2e-3) << i;
    const ParameterLayout layout(classifier->config());
    for (const ParameterInfo& info : layout.infos()) {
      const auto at = static_cast<std::size_t>(info.offset + info.size / 2);
      EXPECT_NEAR(difference(classifier->parameters()[at]), body[at], 2e-3 + 2e-2 * std::fabs(body[at])) << info.name;
      if (info.name.starts_with("head.")) {
        EXPECT_EQ(body[at], 0.0f);
      }
    }
  }
}

TEST_P(ClassifierTest, LearnsASmallSet) {
  const auto classifier = make(small(GetParam()), Pooling::kMean, {"a", "b"});
  const EncodedSet set = texts(200);
  std::vector<std::size_t> train;
  std::vector<std::size_t> dev;
  for (std::size_t i = 0; i < 200; ++i) (i < 150 ? train : dev).push_back(i);
  int epochs = 0;
  FitObserver observer;
  observer.on_epoch = [&](int, double, const Scores&) { ++epochs; };
  const int best = fit(*classifier, set, train, dev, {.epochs = 12, .batch_size = 8, .lr = 5e-3}, observer);
  EXPECT_EQ(epochs, 12);
  EXPECT_GE(best, 1);
  EXPECT_GT(score(*classifier, set, dev, 8).accuracy(), 0.9);
  EXPECT_GT(score(*classifier, set, dev, 8).macro_f1(), 0.9);

  const TemporaryDirectory folder;
  classifier->save(folder.path());
  const auto loaded = Classifier::load(folder.path(), {8, 20, false, false});
  EXPECT_EQ(loaded->labels(), classifier->labels());
  EXPECT_EQ(score(*loaded, set, dev, 8).confusion, score(*classifier, set, dev, 8).confusion);
}

INSTANTIATE_TEST_SUITE_P(Archs, ClassifierTest, testing::Values("spikegpt", "rwkv", "event"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Classifier, APriceOnFiringLowersTheRate) {
  const EncodedSet set = texts(100);
  const auto rate_at = [&](double weight, double target) {
    TrainConfig train = training();
    train.rate_weight = weight;
    train.rate_target = target;
    const auto classifier = make(small("event"), Pooling::kMean, {"a", "b"}, train);
    fit(*classifier, set, all_of(set), {}, {.epochs = 4, .batch_size = 8, .lr = 5e-3}, {});
    score(*classifier, set, all_of(set), 8);
    return classifier->firing_rate();
  };
  const double free = rate_at(0.0, 0.0);
  EXPECT_LT(rate_at(3.0, 0.0), 0.7 * free);
  EXPECT_EQ(rate_at(3.0, 10.0), free) << "below the target firing costs nothing";
}

TEST(Batches, EveryTextIsInExactlyOne) {
  EncodedSet set = texts(517);
  for (std::size_t i = 0; i < 517; ++i) set.labels[i] = static_cast<std::int32_t>(i);  // names them
  for (const std::uint64_t seed : {0, 1, 2}) {
    std::multiset<std::int32_t> seen;
    std::int64_t padded = 0;
    std::int64_t real = 0;
    for (const ClassifierBatch& batch : make_batches(set, all_of(set), 10, seed)) {
      seen.insert(batch.labels.begin(), batch.labels.end());
      padded += std::ssize(batch.tokens);
      for (std::size_t b = 0; b < batch.labels.size(); ++b) {
        const auto& text = set.texts[static_cast<std::size_t>(batch.labels[b])];
        ASSERT_EQ(batch.lengths[b], std::ssize(text));
        const std::size_t T = batch.tokens.size() / batch.labels.size();
        EXPECT_TRUE(std::equal(text.begin(), text.end(), batch.tokens.begin() + static_cast<std::ptrdiff_t>(b * T)));
        real += std::ssize(text);
      }
    }
    EXPECT_EQ(seen.size(), 517u);
    EXPECT_EQ(std::set<std::int32_t>(seen.begin(), seen.end()).size(), 517u);
    EXPECT_LT(static_cast<double>(padded), 1.1 * static_cast<double>(real)) << "like lengths lie together";
  }
}

// Of epochs with as many right answers the surest is kept.
TEST(Fit, OfEpochsThatAreRightAsOftenTheSurestIsKept) {
  const EncodedSet set = texts(80);
  std::vector<std::size_t> train;
  std::vector<std::size_t> dev;
  for (std::size_t i = 0; i < 80; ++i) (i < 60 ? train : dev).push_back(i);
  const auto classifier = make(small("rwkv"), Pooling::kMean, {"a", "b"});
  std::vector<Scores> seen;
  FitObserver observer;
  observer.on_epoch = [&](int, double, const Scores& scores) { seen.push_back(scores); };
  const int kept = fit(*classifier, set, train, dev, {25, 8, 0.01, 0, 1}, observer);
  ASSERT_EQ(seen.size(), 25u);
  std::size_t best = 0;
  std::size_t first = 0;  // of those that are right most often
  for (std::size_t i = 1; i < seen.size(); ++i) {
    const double gain = seen[i].accuracy() - seen[best].accuracy();
    if (gain > 0.0) first = i;
    if (gain > 0.0 || (gain == 0.0 && seen[i].loss < seen[best].loss)) best = i;
  }
  ASSERT_NE(first, best) << "no two epochs are right as often: the test shows nothing";
  EXPECT_EQ(kept, static_cast<int>(best) + 1);
  EXPECT_DOUBLE_EQ(score(*classifier, set, dev, 8).loss, seen[best].loss) << "and its weights are there";
}

TEST(Scores, TheLossIsThatOfTheTrueLabels) {
  const EncodedSet set = texts(10);
  const auto classifier = make(small("rwkv"), Pooling::kMean, {"a", "b"});
  double loss = 0.0;
  for (const ClassifierBatch& batch : make_batches(set, all_of(set), 1, 0)) {
    const std::span<const float> logits = classifier->logits(batch);
    const auto label = static_cast<std::size_t>(batch.labels[0]);
    loss +=
        std::log(1.0 + std::exp(static_cast<double>(logits[1 - label]) - static_cast<double>(logits[label])));
  }
  EXPECT_NEAR(score(*classifier, set, all_of(set), 4).loss, loss / 10.0, 1e-6);
}

TEST(Scores, TheBetterIsRightMoreOftenThenSurer) {
  const Scores sure = {{{3, 1}, {1, 3}}, 0.4};
  const Scores unsure = {{{3, 1}, {1, 3}}, 0.5};
  const Scores right = {{{4, 0}, {1, 3}}, 0.9};
  EXPECT_TRUE(is_better(sure, unsure));
  EXPECT_FALSE(is_better(unsure, sure));
  EXPECT_FALSE(is_better(sure, sure));
  EXPECT_TRUE(is_better(right, sure));
  EXPECT_FALSE(is_better(sure, right));
}

TEST(Scores, ByHand) {
  Scores scores;
  scores.confusion = {{3, 1, 0}, {2, 4, 0}, {0, 0, 0}};
  EXPECT_DOUBLE_EQ(scores.accuracy(), 0.7);
  EXPECT_DOUBLE_EQ(scores.macro_f1(), (6.0 / 9.0 + 8.0 / 11.0 + 0.0) / 3.0);
}

}  // namespace
}  // namespace spikegpt::test
