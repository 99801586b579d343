// Reading a text token by token, in chunks or at once is the same.
#include "spikegpt/infer/session.h"

#include <gtest/gtest.h>

#include "spikegpt/core/error.h"
#include "spikegpt/core/random.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/parameters.h"
#include "tests/support/model_case.h"

namespace spikegpt::test {
namespace {

ModelConfig small(const std::string& arch, const std::string& model_type) {
  ModelConfig config = default_config(arch);
  config.model_type = model_type;
  config.n_layer = 3;
  config.n_embd = 37;
  config.vocab_size = 29;
  return config;
}

std::vector<std::int32_t> random_text(std::int64_t count) {
  RandomStream random(1, RandomPurpose::kBatch);
  std::vector<std::int32_t> text;
  for (std::int64_t i = 0; i < count; ++i) {
    text.push_back(static_cast<std::int32_t>(random.next_below(29)));
  }
  return text;
}

class SessionTest : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  SessionTest() : config_(small(GetParam().first, GetParam().second)), parameters_(config_) {
    initialise(config_, InitKind::kDefault, 1, parameters_.data());
    // Drive the neurons well over their threshold at times.
    for (const ParameterInfo& info : parameters_.layout().infos()) {
      if (info.name.ends_with("output.weight") || info.name.ends_with("value.weight")) {
        for (float& value : parameters_.of(info)) value *= 8.0f;
      }
    }
  }
  ModelConfig config_;
  FlatParameters parameters_;
};

TEST_P(SessionTest, ChunksChangeNothing) {
  const std::vector<std::int32_t> text = random_text(600);  // more than one internal chunk
  const std::span<const std::int32_t> all(text);
  Session at_once(config_, parameters_.data());
  const std::vector<float> expected = at_once.feed_all(text);
  const auto V = static_cast<std::size_t>(config_.vocab_size);

  for (const std::vector<std::size_t>& sizes :
       {std::vector<std::size_t>{1}, std::vector<std::size_t>{2, 1, 7}, std::vector<std::size_t>{33, 256, 1}}) {
    Session session(config_, parameters_.data());
    std::size_t done = 0;
    for (std::size_t chunk = 0; done < all.size(); ++chunk) {
      const std::size_t size = std::min(sizes[chunk % sizes.size()], all.size() - done);
      const std::span<const float> logits = session.feed(all.subspan(done, size));
      done += size;
      for (std::size_t v = 0; v < V; ++v) {
        ASSERT_NEAR(logits[v], expected[(done - 1) * V + v], 1e-4) << "after token " << done;
      }
    }
    EXPECT_EQ(session.firing_rate(), at_once.firing_rate()) << "a spike differs";
    EXPECT_EQ(session.tokens_read(), 600);
  }
  if (config_.arch != "rwkv") {
    EXPECT_GT(at_once.firing_rate(), 0.01) << "the test shows nothing if no neuron fires";
    EXPECT_LT(at_once.firing_rate(), 0.9);
  }
}

TEST_P(SessionTest, ResetForgets) {
  const std::vector<std::int32_t> text = random_text(20);
  Session session(config_, parameters_.data());
  const auto first = std::vector<float>(session.feed(text).begin(), session.feed(text).end());
  session.reset();
  session.feed(text);
  const auto again = session.feed(text);
  EXPECT_EQ(std::vector<float>(again.begin(), again.end()), first);
}

TEST_P(SessionTest, RefusesTokensOutsideTheVocabulary) {
  Session session(config_, parameters_.data());
  const std::vector<std::int32_t> bad = {1, 29};
  try {
    session.feed(bad);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("token 29 at position 1"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(All, SessionTest,
                         testing::Values(std::pair("spikegpt", "RWKV"), std::pair("spikegpt", "RWKV-ffnPre"),
                                         std::pair("rwkv", "RWKV"), std::pair("event", "RWKV"),
                                         std::pair("event", "RWKV-ffnPre")),
                         [](const auto& test) {
                           const std::string type = test.param.second;
                           return std::string(test.param.first) + (type == "RWKV" ? "" : "_ffnPre");
                         });

}  // namespace
}  // namespace spikegpt::test
