// Training on several ranks: the same as on one, whatever their number.
#include "spikegpt/train/team.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/data/consecutive_windows.h"
#include "spikegpt/data/window_sampler.h"
#include "spikegpt/train/checkpoint.h"
#include "spikegpt/train/trainer.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"
#include "tests/support/thread_team.h"

namespace spikegpt::test {
namespace {

TokenStreamPtr text(std::int64_t size) {
  std::vector<TokenId> tokens;
  for (std::int64_t i = 0; i < size; ++i) tokens.push_back(static_cast<TokenId>(i % 89 == 0 ? 10 : i / 3 % 10));
  return make_token_stream(tokens, 11);
}

TrainConfig four_micro_batches() {
  TrainConfig config;
  config.batch_size = 2;
  config.accumulate = 4;
  config.precision = "f32";
  config.weight_decay = 0.01;
  config.freeze = {"blocks.0.ln2.*"};
  return config;
}

struct Outcome {
  std::vector<StepReport> reports;
  std::vector<float> parameters;
};

struct Plan {
  ModelConfig model = small_config("event", {.n_embd = 24, .vocab_size = 11, .ctx_len = 20});
  TrainConfig train = four_micro_batches();
  int steps = 6;
  std::filesystem::path load;  // checkpoint to begin with
  std::filesystem::path save;  // folder for one at the end
};

// On so many ranks; what the leader saw.
Outcome train_on(int ranks, const Plan& plan) {
  set_thread_count(1);
  Outcome outcome;
  const auto run = [&](Communicator* communicator) {
    std::unique_ptr<WindowSource> windows;
    if (plan.train.windows == "consecutive") {
      windows = std::make_unique<ConsecutiveWindows>(text(3000), plan.model.ctx_len,
                                                     std::int64_t{plan.train.batch_size} * plan.train.accumulate);
    } else {
      windows = std::make_unique<WindowSampler>(text(3000), plan.model.ctx_len, 5);
    }
    Trainer trainer(plan.model, plan.train, *windows, communicator);
    if (communicator != nullptr && communicator->rank() > 0) {
      EXPECT_EQ(trainer.follow(), 7);
      return;
    }
    if (plan.load.empty()) {
      trainer.initialise_parameters();
    } else {
      load_checkpoint(plan.load, trainer);
    }
    for (int i = 0; i < plan.steps; ++i) outcome.reports.push_back(trainer.step(2e-3));
    if (!plan.save.empty()) save_checkpoint(plan.save, trainer, {}, 1);
    outcome.parameters.assign(trainer.parameters().span().begin(), trainer.parameters().span().end());
    trainer.dismiss(7);
  };
  if (ranks == 0) {
    run(nullptr);
  } else {
    ThreadTeam(ranks).run([&](Communicator& communicator) { run(&communicator); });
  }
  return outcome;
}

void expect_alike(const Outcome& one, const Outcome& many) {
  ASSERT_EQ(one.reports.size(), many.reports.size());
  for (std::size_t i = 0; i < one.reports.size(); ++i) {
    EXPECT_NEAR(one.reports[i].loss, many.reports[i].loss, 1e-5) << "step " << i;
    EXPECT_NEAR(one.reports[i].gradient_norm, many.reports[i].gradient_norm, 1e-4 * one.reports[i].gradient_norm);
    EXPECT_EQ(one.reports[i].tokens, many.reports[i].tokens);
    EXPECT_NEAR(one.reports[i].activity.firing_rate, many.reports[i].activity.firing_rate, 1e-3);
  }
}

class TeamTest : public testing::TestWithParam<int> {};

TEST_P(TeamTest, LearnsAsOneProcess) {
  Plan plan;
  expect_alike(train_on(0, plan), train_on(GetParam(), plan));
  plan.train.windows = "consecutive";
  plan.model = small_config("spikegpt", {.n_embd = 24, .vocab_size = 11, .ctx_len = 20});
  plan.model.squared_current = false, plan.model.learnable_tau = true;
  expect_alike(train_on(0, plan), train_on(GetParam(), plan));
}

// Saved by one number of ranks, resumed by another.
TEST_P(TeamTest, ResumesOnAnotherNumberOfRanks) {
  const TemporaryDirectory folder;
  Plan whole;
  whole.train.windows = "consecutive";
  whole.train.ema_decay = 0.9;
  const Outcome expected = train_on(0, whole);
  for (const int ranks : {0, 2, 4}) {
    Plan before = whole;
    before.steps = 3;
    before.save = folder.path();
    train_on(GetParam(), before);
    Plan after = whole;
    after.steps = 3;
    after.load = find_checkpoints(folder.path()).front();
    const Outcome resumed = train_on(ranks, after);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(expected.reports[3 + i].loss, resumed.reports[i].loss, 1e-5) << ranks << " ranks, step " << 3 + i;
      EXPECT_EQ(expected.reports[3 + i].step, resumed.reports[i].step);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, TeamTest, testing::Values(1, 2, 4));

TEST(Team, TwiceTheSameBits) {
  const Plan plan;
  EXPECT_EQ(train_on(2, plan).parameters, train_on(2, plan).parameters);
}

TEST(Team, RefusesWhatCannotBeShared) {
  ThreadTeam(3).run([&](Communicator& communicator) {
    const Plan plan;
    const WindowSampler windows(text(3000), plan.model.ctx_len, 5);
    try {
      Trainer trainer(plan.model, plan.train, windows, &communicator);
      ADD_FAILURE() << "4 micro-batches for 3 ranks";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    }
  });
}

// A rank whose loss is no number: the leader says so, and nobody waits for ever.
TEST(Team, DivergenceIsTheLeadersToReport) {
  ThreadTeam(2).run([&](Communicator& communicator) {
    const Plan plan;
    const WindowSampler windows(text(3000), plan.model.ctx_len, 5);
    Trainer trainer(plan.model, plan.train, windows, &communicator);
    if (communicator.rank() == 1) {
      trainer.follow();
      return;
    }
    trainer.initialise_parameters();
    trainer.step(1e-3);
    const ParameterInfo* info = trainer.layout().find("ln_out.weight");
    const float before = trainer.parameters()[static_cast<std::size_t>(info->offset)];
    trainer.parameters()[static_cast<std::size_t>(info->offset)] = std::numeric_limits<float>::quiet_NaN();
    trainer.parameters_changed();
    try {
      trainer.step(1e-3);
      ADD_FAILURE() << "a loss that is no number";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDiverged);
      EXPECT_NE(std::string(error.what()).find("step 2: the loss is not a finite number"), std::string::npos)
          << error.what();
    }
    trainer.parameters()[static_cast<std::size_t>(info->offset)] = before;
    trainer.parameters_changed();
    EXPECT_TRUE(std::isfinite(trainer.step(1e-3).loss));
    trainer.dismiss(0);
  });
}

TEST(GradientExchange, BucketsCoverEverythingOnce) {
  const ModelConfig config = small_config("event", {.n_embd = 24, .vocab_size = 11, .ctx_len = 20});
  const ParameterLayout layout(config);
  for (const std::int64_t largest : {64, 1000, 1 << 20}) {
    std::int64_t at = 0;
    for (const Bucket& bucket : make_buckets(config, layout, largest)) {
      EXPECT_EQ(bucket.range.first, at);
      EXPECT_LE(bucket.range.size, largest);
      at += bucket.range.size;
    }
    EXPECT_EQ(at, layout.flat_size());
  }
}

}  // namespace
}  // namespace spikegpt::test
