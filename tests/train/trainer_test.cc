// Training steps, evaluation and resuming.
#include "spikegpt/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/data/consecutive_windows.h"
#include "spikegpt/data/window_sampler.h"
#include "spikegpt/train/checkpoint.h"
#include "spikegpt/train/evaluation.h"
#include "spikegpt/train/schedule.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

// 0 0 1 1 2 2 ... 9 9 over and over, with a rare surprise: what comes next depends on two tokens.
TokenStreamPtr counting_text(std::int64_t size) {
  std::vector<TokenId> text;
  for (std::int64_t i = 0; i < size; ++i) text.push_back(static_cast<TokenId>(i % 97 == 0 ? 10 : i / 2 % 10));
  return make_token_stream(text, 11);
}

ModelConfig small_model(const std::string& arch) {
  return small_config(arch, {.n_embd = 24, .vocab_size = 11, .ctx_len = 20});
}

TrainConfig small_run() {
  TrainConfig config;
  config.batch_size = 4;
  config.lr = 5e-3;
  config.precision = "f32";
  return config;
}

struct Bench {
  Bench(const ModelConfig& model, const TrainConfig& train)
      : windows(counting_text(2000), model.ctx_len, train.seed), trainer(model, train, windows) {
    trainer.initialise_parameters();
  }
  WindowSampler windows;
  Trainer trainer;
};

std::vector<float> copy(const AlignedBuffer<float>& values) { return {values.span().begin(), values.span().end()}; }

class TrainerTest : public testing::TestWithParam<const char*> {};

TEST_P(TrainerTest, Learns) {
  Bench bench(small_model(GetParam()), small_run());
  const double first = bench.trainer.step(5e-3).loss;
  double last = 0.0;
  for (int i = 0; i < 80; ++i) last = bench.trainer.step(5e-3).loss;
  EXPECT_GT(first, 2.0);
  EXPECT_LT(last, 0.6 * first);
  EXPECT_EQ(bench.trainer.steps_done(), 81);
}

TEST_P(TrainerTest, ResumedIsBitIdentical) {
  const TemporaryDirectory folder;
  for (const char* precision : {"f32", "auto"}) {
    TrainConfig config = small_run();
    config.precision = precision;
    config.accumulate = 2;
    Bench whole(small_model(GetParam()), config);
    for (int i = 0; i < 6; ++i) whole.trainer.step(1e-3);

    Bench before(small_model(GetParam()), config);
    for (int i = 0; i < 3; ++i) before.trainer.step(1e-3);
    RunState run;
    run.seconds = 12.5;
    run.best_loss = 0.1;
    run.slow_loss = 1.0 / 3.0;
    const auto path = save_checkpoint(folder.path(), before.trainer, run, 1);
    Bench after(small_model(GetParam()), config);
    EXPECT_EQ(load_checkpoint(path, after.trainer), run);
    EXPECT_EQ(after.trainer.steps_done(), 3);
    for (int i = 0; i < 3; ++i) after.trainer.step(1e-3);

    EXPECT_EQ(copy(after.trainer.parameters()), copy(whole.trainer.parameters()));
    EXPECT_EQ(copy(after.trainer.optimizer().second_moment()), copy(whole.trainer.optimizer().second_moment()));
  }
}

TEST_P(TrainerTest, ConsecutiveWindowsCarryTheirMemory) {
  ModelConfig model = small_model(GetParam());
  model.dropout = 0.0;
  TrainConfig config = small_run();
  config.windows = "consecutive";
  config.accumulate = 2;
  const ConsecutiveWindows windows(counting_text(2000), model.ctx_len, 8);
  const TemporaryDirectory folder;
  Trainer whole(model, config, windows);
  Trainer before(model, config, windows);
  Trainer after(model, config, windows);
  whole.initialise_parameters();
  before.initialise_parameters();
  ASSERT_EQ(whole.carried().size(), 2u);
  for (int i = 0; i < 15; ++i) whole.step(1e-3);  // 12 windows a reader: some start over
  for (int i = 0; i < 7; ++i) before.step(1e-3);
  load_checkpoint(save_checkpoint(folder.path(), before, {}, 1), after);
  for (int i = 0; i < 8; ++i) after.step(1e-3);
  EXPECT_EQ(copy(after.parameters()), copy(whole.parameters()));

  // The memory is that of reading the same text in one go.
  RecurrentState state(model, 1);
  NetworkOptions options;
  options.plan.tokens = 2 * model.ctx_len;
  const auto network = make_network(model, options);
  Trainer frozen(model, config, windows);
  frozen.initialise_parameters();
  frozen.step(1e-30);
  frozen.step(1e-30);
  network->set_parameters(frozen.parameters().data());
  std::vector<TokenId> text(static_cast<std::size_t>(2 * model.ctx_len));
  counting_text(2000)->read(0, text);
  RunOptions run;
  run.state_out = &state;
  network->forward({text}, run);
  state.visit([&, part = std::size_t{0}](const std::string& name, const float* values, std::int64_t n) mutable {
    const float* carried = frozen.carried()[0].values().data() + part * 4;
    for (std::int64_t c = 0; c < n; ++c) {
      ASSERT_NEAR(carried[c], values[c], 1e-4) << name;
    }
    part += static_cast<std::size_t>(n);
  });
}

TEST_P(TrainerTest, ThreadsChangeNothingOutsideTheProducts) {
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    Bench bench(small_model(GetParam()), small_run());
    for (int i = 0; i < 3; ++i) bench.trainer.step(1e-3);
    results.push_back(copy(bench.trainer.parameters()));
  }
  set_thread_count(0);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST_P(TrainerTest, AccumulationIsABiggerBatch) {
  ModelConfig model = small_model(GetParam());
  model.dropout = 0.0;
  TrainConfig config = small_run();
  config.batch_size = 4;
  Bench whole(model, config);
  config.batch_size = 2;
  config.accumulate = 2;
  Bench parts(model, config);
  for (int i = 0; i < 3; ++i) {
    const StepReport a = whole.trainer.step(1e-3);
    const StepReport b = parts.trainer.step(1e-3);
    EXPECT_NEAR(a.loss, b.loss, 1e-5);
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-4 * a.gradient_norm);
    EXPECT_EQ(a.tokens, b.tokens);
  }
}

TEST_P(TrainerTest, BadNumbersNameStepAndPlaceAndChangeNothing) {
  Bench bench(small_model(GetParam()), small_run());
  bench.trainer.step(1e-3);
  const ParameterInfo* output = bench.trainer.layout().find("blocks.1.ffn.receptance.weight");
  bench.trainer.parameters()[static_cast<std::size_t>(output->offset)] = std::nanf("");
  bench.trainer.parameters_changed();
  const auto before = copy(bench.trainer.optimizer().first_moment());
  try {
    bench.trainer.step(1e-3);
    FAIL() << "the loss cannot be finite";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDiverged);
    const std::string what = error.what();
    EXPECT_NE(what.find("step 2"), std::string::npos) << what;
    // In spikegpt the neurons swallow the NaN (it is not above the threshold), but its gradient is still none.
    const bool named = what.find("block 1") != std::string::npos || what.find("blocks.1") != std::string::npos;
    EXPECT_TRUE(named) << what;
  }
  EXPECT_EQ(copy(bench.trainer.optimizer().first_moment()), before);
}

TEST_P(TrainerTest, EvaluationCarriesState) {
  const ModelConfig model = small_model(GetParam());
  Bench bench(model, small_run());
  for (int i = 0; i < 60; ++i) bench.trainer.step(5e-3);
  const TokenStreamPtr text = counting_text(403);
  EvaluationOptions options;
  options.ctx_len = 20;
  options.batch = 3;
  const EvaluationResult windows = evaluate_windows(model, bench.trainer.network(), text, options);
  const EvaluationResult carried = evaluate_carried(model, bench.trainer.network(), text, options);
  EXPECT_EQ(windows.tokens, 402);
  EXPECT_EQ(carried.tokens, 402);
  options.ctx_len = 3;
  const EvaluationResult short_windows = evaluate_windows(model, bench.trainer.network(), text, options);
  EXPECT_LT(carried.loss, 0.7 * short_windows.loss) << "memory must help a text like this";
  options.ctx_len = 7;  // other chunks, same text
  const EvaluationResult other = evaluate_carried(model, bench.trainer.network(), text, options);
  EXPECT_NEAR(other.loss, carried.loss, 1e-5);
  EXPECT_EQ(other.activity.firing_rate, carried.activity.firing_rate);
}

INSTANTIATE_TEST_SUITE_P(All, TrainerTest,
                         testing::Values("spikegpt", "rwkv", "event", "event_payload", "feed_forward", "leaky"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Calibration, StartsNeuronsAtAHealthyRate) {
  ModelConfig model = small_model("event");
  model.n_layer = 4;
  model.n_embd = 64;
  // Events per neuron: signed neurons fire on both sides, and some twice.
  EXPECT_GT(Bench(model, small_run()).trainer.step(1e-9).activity.firing_rate, 0.15);
  EXPECT_LT(Bench(model, small_run()).trainer.step(1e-9).activity.firing_rate, 0.45);

  model.v_reset = 0.0;
  model.spike_levels = 1;
  model.signed_spikes = false;
  model.squared_current = false;
  EXPECT_GT(Bench(model, small_run()).trainer.step(1e-9).activity.firing_rate, 0.08);
  EXPECT_LT(Bench(model, small_run()).trainer.step(1e-9).activity.firing_rate, 0.30);
}

// A price lowers what it is asked for, and a target stops that.
TEST(SynopWeight, LowersSynapticOperations) {
  const auto after = [](double synop_weight, double row_weight, double target) {
    TrainConfig run = small_run();
    run.synop_weight = synop_weight;
    run.row_weight = row_weight;
    run.synop_target = run.row_target = target;
    ModelConfig model = small_model("event");
    model.token_shift = "after";
    model.payload_steps = 4;
    model.payload_places = {"att_in", "ffn_in"};
    Bench bench(model, run);
    Densities activity;
    for (int i = 0; i < 40; ++i) activity = bench.trainer.step(3e-3).activity;
    return activity;
  };
  const Densities free = after(0.0, 0.0, 0.0);
  EXPECT_GT(free.active_rows, 0.0);
  EXPECT_GE(free.synops, free.active_rows) << "a row is fetched once for all events of a neuron";
  EXPECT_LT(after(5.0, 0.0, 0.0).synops, 0.85 * free.synops);
  EXPECT_LT(after(0.0, 5.0, 0.0).active_rows, 0.85 * free.active_rows);
  EXPECT_EQ(after(5.0, 5.0, 10.0).synops, free.synops);
}

// A target without a weight: the weight is found that holds it.
TEST(RowTarget, IsHeld) {
  TrainConfig run = small_run();
  ModelConfig model = small_model("event_payload");
  const auto mean_of_last = [&](double target) {
    run.row_target = target;
    Bench bench(model, run);
    double sum = 0.0;
    for (int i = 0; i < 500; ++i) {
      const StepReport report = bench.trainer.step(3e-3);
      EXPECT_EQ(report.found_weight > 0.0, target > 0.0);
      if (i >= 450) sum += report.activity.active_rows / 50.0;
    }
    return sum;
  };
  const double free = mean_of_last(0.0);
  const double target = 0.5 * free;
  EXPECT_NEAR(mean_of_last(target), target, 0.2 * target);
}

// A cost of firing makes a model fire less, and a target stops that.
TEST(RateWeight, LowersTheFiringRate) {
  const auto rate_after = [](double weight, double target) {
    TrainConfig run = small_run();
    run.rate_weight = weight;
    run.rate_target = target;
    Bench bench(small_model("event"), run);
    double rate = 0.0;
    for (int i = 0; i < 40; ++i) rate = bench.trainer.step(3e-3).activity.firing_rate;
    return rate;
  };
  const double free = rate_after(0.0, 0.0);
  EXPECT_LT(rate_after(5.0, 0.0), 0.8 * free);
  EXPECT_EQ(rate_after(5.0, 10.0), free);
}

TEST(Checkpoints, KeepTheNewest) {
  const TemporaryDirectory folder;
  Bench bench(small_model("rwkv"), small_run());
  EXPECT_TRUE(find_checkpoints(folder.path()).empty());
  std::vector<std::filesystem::path> paths;
  for (int i = 0; i < 4; ++i) {
    bench.trainer.step(1e-3);
    paths.push_back(save_checkpoint(folder.path(), bench.trainer, {}, 2));
  }
  EXPECT_EQ(find_checkpoints(folder.path()), (std::vector{paths[3], paths[2]}));
}

TEST(Checkpoints, RefuseAnotherModel) {
  const TemporaryDirectory folder;
  Bench bench(small_model("rwkv"), small_run());
  const auto path = save_checkpoint(folder.path(), bench.trainer, {}, 2);
  ModelConfig wider = small_model("rwkv");
  wider.n_embd = 32;
  Bench other(wider, small_run());
  try {
    load_checkpoint(path, other.trainer);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile);
    EXPECT_NE(std::string(error.what()).find("emb.weight"), std::string::npos) << error.what();
  }
}

TEST(Schedule, WarmsUpThenFollowsACosine) {
  TrainConfig config;
  config.lr = 1e-3;
  config.lr_final = 1e-5;
  config.warmup_steps = 9;
  EXPECT_NEAR(learning_rate(config, 0, 0.0), 1e-5 + 0.1 * 9.9e-4, 1e-12);
  EXPECT_NEAR(learning_rate(config, 8, 0.0), 1e-5 + 0.9 * 9.9e-4, 1e-12);
  EXPECT_NEAR(learning_rate(config, 9, 0.0), 1e-3, 1e-12);
  EXPECT_NEAR(learning_rate(config, 50, 0.5), 0.5 * (1e-3 + 1e-5), 1e-12);
  EXPECT_NEAR(learning_rate(config, 100, 1.0), 1e-5, 1e-12);
}

}  // namespace
}  // namespace spikegpt::test
