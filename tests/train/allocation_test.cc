// A training step takes no memory from the heap once the first steps are over.
#include <gtest/gtest.h>

#include "spikegpt/data/window_sampler.h"
#include "spikegpt/train/trainer.h"
#include "tests/support/count_allocations.h"
#include "tests/support/small_model.h"

namespace spikegpt::test {
namespace {

class StepAllocations : public testing::TestWithParam<const char*> {};

TEST_P(StepAllocations, None) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under sanitizers";
  const ModelConfig model = small_config(GetParam(), {.n_embd = 48, .vocab_size = 40, .ctx_len = 32});
  TrainConfig config;
  config.batch_size = 4;
  std::vector<TokenId> text;
  for (int i = 0; i < 500; ++i) text.push_back(i * 7 % 40);
  const WindowSampler windows(make_token_stream(text, 40), model.ctx_len, 1);
  Trainer trainer(model, config, windows);
  trainer.initialise_parameters();
  trainer.step(1e-3);
  trainer.step(1e-3);
  counting = true;
  trainer.step(1e-3);
  counting = false;
  EXPECT_EQ(allocations.exchange(0), 0) << allocated_bytes.exchange(0) << " bytes";
}

INSTANTIATE_TEST_SUITE_P(All, StepAllocations,
                         testing::Values("spikegpt", "rwkv", "event", "event_payload", "feed_forward", "leaky"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace spikegpt::test
