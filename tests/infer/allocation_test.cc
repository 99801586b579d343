// Decoding takes no memory from the heap once a session has begun, whatever the path of its products.
#include <gtest/gtest.h>

#include "spikegpt/core/parallel.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/model/init.h"
#include "tests/support/count_allocations.h"
#include "tests/support/small_model.h"
#include "tests/support/model_case.h"

namespace spikegpt::test {
namespace {

class TokenAllocations : public testing::TestWithParam<const char*> {};

TEST_P(TokenAllocations, None) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under sanitizers";
  add_new_architectures();
  ModelConfig config = default_form(GetParam());
  config.n_layer = 2;
  config.n_embd = 48;
  config.vocab_size = 40;
  FlatParameters parameters(config);
  initialise(config, InitKind::kDefault, 1, parameters.data());
  const PackedModel model(config, parameters.data(), default_pack_options(config, WeightType::kInt8));
  set_thread_count(2);
  for (const ProductPath path : {ProductPath::kEvents, ProductPath::kDense, ProductPath::kAuto}) {
    Session session(model, 16);
    session.runner().path = path;
    std::int32_t token = 3;
    session.feed({&token, 1});
    allocations = 0;
    allocated_bytes = 0;
    counting = true;
    for (token = 0; token < 40; ++token) session.feed({&token, 1});
    counting = false;
    EXPECT_EQ(allocations, 0) << allocated_bytes << " bytes";
  }
  set_thread_count(1);
}

INSTANTIATE_TEST_SUITE_P(All, TokenAllocations,
                         testing::Values("spikegpt", "rwkv", "event", "event_payload", "feed_forward", "leaky"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace spikegpt::test
