// Reading a text token by token, in chunks, at once or beside others is the same, bit for bit.
#include "spikegpt/infer/session.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/random.h"
#include "spikegpt/infer/prompt_cache.h"
#include "spikegpt/infer/state_file.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/parameters.h"
#include "tests/support/model_case.h"
#include "tests/support/small_model.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

ModelConfig small(const std::string& arch, const std::string& model_type) {
  add_new_architectures();
  ModelConfig config = default_form(arch == "event_binary" || arch == "event_learnable" ? "event" : arch);
  config.attention_norm = config.learnable_tau = arch == "event_learnable";
  if (arch == "event_binary") {
    config.v_reset = 0.0;
    config.spike_levels = 1;
    config.signed_spikes = false;
    config.squared_current = false;
    config.binary_embedding = true;
  }
  config.model_type = model_type;
  config.n_layer = 3;
  config.n_embd = 37;
  config.vocab_size = 29;
  return config;
}

std::vector<std::int32_t> random_text(std::int64_t count, std::uint64_t seed = 1) {
  RandomStream random(seed, RandomPurpose::kBatch);
  std::vector<std::int32_t> text;
  for (std::int64_t i = 0; i < count; ++i) {
    text.push_back(static_cast<std::int32_t>(random.next_below(29)));
  }
  return text;
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }
std::vector<float> memory_of(const SessionState& state) { return copy(state.memory.values()); }

// Tests run side by side.
std::filesystem::path own_path(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / fmt::format("spikegpt_{}_{}", getpid(), name);
}

struct Kind {
  const char* arch;
  const char* model_type;
  WeightType type;
};

class SessionTest : public testing::TestWithParam<Kind> {
 protected:
  SessionTest() : config_(small(GetParam().arch, GetParam().model_type)), parameters_(config_) {
    initialise(config_, InitKind::kDefault, 1, parameters_.data());
    // Drive the neurons well over their threshold at times.
    for (const ParameterInfo& info : parameters_.layout().infos()) {
      if (info.name.ends_with("output.weight") || info.name.ends_with("value.weight")) {
        for (float& value : parameters_.of(info)) value *= 8.0f;
      }
    }
    model_ = std::make_unique<PackedModel>(config_, parameters_.data(), default_pack_options(config_, GetParam().type));
  }
  const PackedModel& model() const { return *model_; }

  ModelConfig config_;
  FlatParameters parameters_;
  std::unique_ptr<PackedModel> model_;
};

TEST_P(SessionTest, ChunksChangeNoBit) {
  const std::vector<std::int32_t> text = random_text(2100);  // several internal chunks
  const std::span<const std::int32_t> all(text);
  Session at_once(model());
  const std::vector<float> expected = at_once.feed_all(text);
  const auto V = static_cast<std::size_t>(config_.vocab_size);
  for (const std::vector<std::size_t>& sizes :
       {std::vector<std::size_t>{1}, std::vector<std::size_t>{2, 1, 7}, std::vector<std::size_t>{33, 256, 1}}) {
    Session session(model(), 64);
    std::size_t done = 0;
    for (std::size_t chunk = 0; done < all.size(); ++chunk) {
      const std::size_t size = std::min(sizes[chunk % sizes.size()], all.size() - done);
      const std::span<const float> logits = session.feed(all.subspan(done, size));
      done += size;
      for (std::size_t v = 0; v < V; ++v) {
        ASSERT_EQ(logits[v], expected[(done - 1) * V + v]) << "after token " << done;
      }
    }
    EXPECT_EQ(memory_of(session.state()), memory_of(at_once.state()));
    EXPECT_EQ(session.firing_rate(), at_once.firing_rate()) << "a spike differs";
    EXPECT_EQ(session.tokens_read(), 2100);
  }
  if (config_.arch != "rwkv") {
    EXPECT_GT(at_once.firing_rate(), 0.01) << "the test shows nothing if no neuron fires";
    EXPECT_LT(at_once.firing_rate(), 0.9);
  }
}

TEST_P(SessionTest, EventsThreadsAndDenseProductsChangeNoBit) {
  const std::vector<std::int32_t> text = random_text(1000);
  std::vector<std::vector<float>> last;
  std::vector<std::vector<float>> memory;
  for (const ProductPath path : {ProductPath::kEvents, ProductPath::kDense, ProductPath::kAuto}) {
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      Session session(model(), 16);
      session.runner().path = path;
      for (const std::int32_t token : text) last.push_back(copy(session.feed({&token, 1})));
      last.erase(last.begin(), last.end() - 1);
      memory.push_back(memory_of(session.state()));
      EXPECT_EQ(memory.back(), memory.front());
      EXPECT_EQ(last.back(), last.front());
    }
  }
  set_thread_count(1);
}

// The parallel pass of training adds in another order: equal up to rounding, as long as no neuron sits on its
// threshold.
class F32SessionTest : public SessionTest {};
TEST_P(F32SessionTest, AgreesWithTheTrainingNetwork) {
  const std::vector<std::int32_t> text = random_text(64);
  NetworkOptions options;
  options.plan.tokens = 64;
  const auto network = make_network(config_, options);
  network->set_parameters(parameters_.data());
  network->forward({text}, {});
  std::vector<float> expected(64 * 29);
  network->logits(0, 64, expected.data());
  Session session(model());
  const std::vector<float> logits = session.feed_all(text);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(logits[i], expected[i], 1e-4) << i;
}

TEST_P(SessionTest, TextsOfABatchDoNotMeet) {
  constexpr std::int64_t kSlots = 5;
  SessionBatch batch(model(), kSlots);
  std::vector<std::vector<std::int32_t>> texts;
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) texts.push_back(random_text(40, slot + 1));
  // One of them enters late, from a session of its own.
  Session late(model());
  late.feed(random_text(13, 99));
  batch.set_state(2, late.state());
  std::vector<float> logits;
  for (std::size_t t = 0; t < 40; ++t) {
    std::vector<std::int32_t> tokens;
    for (const auto& text : texts) tokens.push_back(text[t]);
    logits = copy(batch.step(tokens));
  }
  for (std::int64_t slot = 0; slot < kSlots; ++slot) {
    Session alone(model());
    if (slot == 2) alone.set_state(late.state());
    const std::vector<float> expected = copy(alone.feed(texts[static_cast<std::size_t>(slot)]));
    const std::vector<float> found = copy(std::span(logits).subspan(static_cast<std::size_t>(slot) * 29, 29));
    EXPECT_EQ(found, expected) << "slot " << slot;
    EXPECT_EQ(memory_of(batch.state(slot)), memory_of(alone.state())) << "slot " << slot;
    EXPECT_EQ(batch.state(slot).tokens_read, slot == 2 ? 53 : 40);
  }
}

TEST_P(SessionTest, ResetForgets) {
  const std::vector<std::int32_t> text = random_text(20);
  Session session(model());
  const std::vector<float> first = copy(session.feed(text));
  session.reset();
  EXPECT_EQ(session.tokens_read(), 0);
  EXPECT_EQ(copy(session.feed(text)), first);
}

TEST_P(SessionTest, AForkGoesItsOwnWay) {
  Session session(model());
  session.feed(random_text(20));
  const SessionState state = session.state();
  Session fork(model());
  fork.set_state(state);
  fork.feed(random_text(7, 5));
  EXPECT_EQ(memory_of(session.state()), memory_of(state));
  EXPECT_EQ(copy(session.feed(random_text(9))), [&] {
    Session again(model());
    again.set_state(state);
    return copy(again.feed(random_text(9)));
  }());
}

// The same weights, other neurons: the state would fit or not, and is refused either way.
TEST_P(SessionTest, AStateOfOtherNeuronsIsRefused) {
  if (spike_sites(config_).empty()) GTEST_SKIP() << "no neurons";
  const std::filesystem::path path = own_path("other-neurons.safetensors");
  Session session(model());
  session.feed(random_text(9));
  save_state(path, model(), session.state());
  for (const char* kind : {"qif", "alif"}) {
    ModelConfig config = config_;
    config.neuron = kind;
    config.learnable_tau = false;
    const FlatParameters parameters(config);
    const PackedModel other(config, parameters.data(), default_pack_options(config, GetParam().type));
    expect_error(ErrorKind::kInvalidArgument, {path.string(), "another model"}, [&] { load_state(path, other); });
  }
  std::filesystem::remove(path);
}

TEST_P(SessionTest, AStateComesBackFromItsFile) {
  const std::filesystem::path path = own_path("state.safetensors");
  Session session(model());
  session.feed(random_text(20));
  save_state(path, model(), session.state());
  const SessionState loaded = load_state(path, model()).session;
  EXPECT_EQ(loaded.tokens_read, 20);
  EXPECT_EQ(memory_of(loaded), memory_of(session.state()));

  parameters_.of(parameters_.layout().infos().back())[0] += 1.0f;
  const PackedModel other(config_, parameters_.data(), default_pack_options(config_, GetParam().type));
  expect_error(ErrorKind::kInvalidArgument, {path.string(), "another model"}, [&] { load_state(path, other); });
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  expect_error(ErrorKind::kCorruptFile, {path.string()}, [&] { load_state(path, model()); });
  std::filesystem::remove(path);
  expect_error(ErrorKind::kNotFound, {path.string()}, [&] { load_state(path, model()); });
}

TEST_P(SessionTest, APackedModelComesBackFromItsFolder) {
  const std::filesystem::path folder = own_path("packed");
  std::filesystem::remove_all(folder);
  model().save(folder);
  EXPECT_TRUE(is_packed_folder(folder));
  const PackedModel loaded = PackedModel::load(folder);
  EXPECT_EQ(loaded.fingerprint(), model().fingerprint());
  EXPECT_EQ(loaded.type(), model().type());
  EXPECT_EQ(loaded.folded(), model().folded());
  Session session(model());
  Session again(loaded);
  EXPECT_EQ(copy(again.feed(random_text(20))), copy(session.feed(random_text(20))));
  std::filesystem::remove_all(folder);
}

// Where a matrix lies changes no bit; the head may be of another type than the rest.
TEST_P(SessionTest, LayoutsAndTheHeadsTypeComeBackToo) {
  PackOptions options = default_pack_options(config_, GetParam().type);
  options.event_rows = !options.event_rows;
  const PackedModel other(config_, parameters_.data(), options);
  Session session(model());
  Session elsewhere(other);
  EXPECT_EQ(copy(elsewhere.feed(random_text(20))), copy(session.feed(random_text(20))));

  options.head = GetParam().type == WeightType::kInt4 ? WeightType::kF32 : WeightType::kInt4;
  const PackedModel mixed(config_, parameters_.data(), options);
  EXPECT_NE(mixed.fingerprint(), other.fingerprint());
  const std::filesystem::path folder = own_path("mixed");
  std::filesystem::remove_all(folder);
  mixed.save(folder);
  const PackedModel loaded = PackedModel::load(folder);
  EXPECT_EQ(loaded.fingerprint(), mixed.fingerprint());
  EXPECT_EQ(loaded.head_type(), *options.head);
  EXPECT_EQ(loaded.type(), GetParam().type);
  EXPECT_EQ(loaded.matrices().back().type(), *options.head);
  std::filesystem::remove_all(folder);
}

// Some bytes of the header and of the data; tests/model/safetensors_test.cc changes every one.
void expect_loads_or_is_refused(const std::filesystem::path& path, const std::function<void()>& load) {
  const std::string good = read_text(path);
  const auto with = [&](const std::string& bytes, const std::string& what) {
    write_text_atomically(path, bytes);
    try {
      load();
    } catch (const Error& error) {
      EXPECT_FALSE(std::string(error.what()).empty()) << what;
    }
  };
  for (std::size_t at = 0; at < good.size(); at += at < 3000 ? 29 : 4999) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x21);
    with(changed, fmt::format("byte {} changed", at));
  }
  for (std::size_t size = 0; size < good.size(); size += 1 + good.size() / 8) {
    write_text_atomically(path, good.substr(0, size));
    EXPECT_THROW(load(), Error) << "cut to " << size << " bytes";
  }
  write_text_atomically(path, good);
  load();
}

TEST_P(SessionTest, DamagedFilesLoadOrAreRefused) {
  const std::filesystem::path folder = own_path("damaged");
  std::filesystem::remove_all(folder);
  model().save(folder);
  expect_loads_or_is_refused(folder / "packed.safetensors", [&] { PackedModel::load(folder); });
  Session session(model());
  session.feed(random_text(5));
  save_state(folder / "state", model(), session.state());
  expect_loads_or_is_refused(folder / "state", [&] { load_state(folder / "state", model()); });
  std::filesystem::remove_all(folder);
}

TEST_P(SessionTest, APromptIsReadOnce) {
  const std::vector<std::int32_t> prompt = random_text(50);
  const std::span<const std::int32_t> all(prompt);
  Session session(model());
  PromptCache cache(std::size_t{1} << 20);
  EXPECT_EQ(cache.restore(prompt, session), 0);
  session.feed(all.first(30));
  cache.store(all.first(30), session);
  session.feed(all.subspan(30, 10));
  cache.store(all.first(40), session);
  const std::vector<float> expected = copy(session.feed(all.subspan(40)));

  Session other(model());
  ASSERT_EQ(cache.restore(all, other), 40);
  EXPECT_EQ(copy(other.feed(all.subspan(40))), expected);
  EXPECT_EQ(cache.restore(all.first(40), other), 30) << "a token must be left to feed";
  EXPECT_EQ(cache.restore(random_text(50, 9), other), 0);
  EXPECT_EQ(other.tokens_read(), 0);

  // The least recently used leaves first.
  PromptCache tiny(cache.size_in_bytes() / 2 + 100);
  Session third(model());
  third.feed(all.first(30));
  tiny.store(all.first(30), third);
  third.feed(all.subspan(30, 5));
  tiny.store(all.first(35), third);
  EXPECT_EQ(tiny.entries(), 1u);
  EXPECT_EQ(tiny.restore(all, third), 35);
}

TEST_P(SessionTest, RefusesTokensOutsideTheVocabulary) {
  Session session(model());
  const std::vector<std::int32_t> bad = {1, 29};
  expect_error(ErrorKind::kInvalidArgument, {"token 29 at position 1", "29 tokens"}, [&] { session.feed(bad); });
  EXPECT_EQ(session.tokens_read(), 0);
}

TEST_P(SessionTest, RefusesAStateOfAnotherShape) {
  ModelConfig other = config_;
  other.n_embd = 20;
  Session session(model());
  expect_error(ErrorKind::kInvalidArgument, {"does not fit"}, [&] {
    session.set_state({RecurrentState(other, 1), 0});
  });
}

std::string name_of_kind(const testing::TestParamInfo<Kind>& test) {
  const std::string type = test.param.model_type;
  return std::string(test.param.arch) + (type == "RWKV" ? "_" : "_ffnPre_") + std::string(name_of(test.param.type));
}

constexpr Kind kF32Kinds[] = {{"spikegpt", "RWKV", WeightType::kF32},     {"spikegpt", "RWKV-ffnPre", WeightType::kF32},
                              {"rwkv", "RWKV", WeightType::kF32},         {"event", "RWKV", WeightType::kF32},
                              {"event", "RWKV-ffnPre", WeightType::kF32}, {"event_learnable", "RWKV", WeightType::kF32},
                              {"event_binary", "RWKV", WeightType::kF32}, {"feed_forward", "RWKV", WeightType::kF32},
                              {"leaky", "RWKV", WeightType::kF32},        {"event_after", "RWKV", WeightType::kF32},
                              {"event_payload", "RWKV-ffnPre", WeightType::kF32},
                              {"spikegpt_after", "RWKV", WeightType::kF32},
                              {"rwkv_after", "RWKV", WeightType::kF32}};
constexpr Kind kRoundedKinds[] = {
    {"spikegpt", "RWKV", WeightType::kInt8},     {"rwkv", "RWKV", WeightType::kInt4},
    {"event_binary", "RWKV", WeightType::kInt8}, {"event_binary", "RWKV", WeightType::kInt4},
    {"event", "RWKV", WeightType::kBf16},        {"event", "RWKV", WeightType::kInt8},
    {"event", "RWKV", WeightType::kInt4},        {"feed_forward", "RWKV", WeightType::kInt8},
    {"leaky", "RWKV", WeightType::kInt8},        {"event_after", "RWKV", WeightType::kInt8},
    {"event_payload", "RWKV", WeightType::kInt8},  {"event_payload", "RWKV", WeightType::kInt4},
    {"event_payload", "RWKV", WeightType::kBf16},  {"rwkv_after", "RWKV", WeightType::kInt8}};
INSTANTIATE_TEST_SUITE_P(Exact, SessionTest, testing::ValuesIn(kF32Kinds), name_of_kind);
INSTANTIATE_TEST_SUITE_P(Exact, F32SessionTest, testing::ValuesIn(kF32Kinds), name_of_kind);
INSTANTIATE_TEST_SUITE_P(Rounded, SessionTest, testing::ValuesIn(kRoundedKinds), name_of_kind);

}  // namespace
}  // namespace spikegpt::test
