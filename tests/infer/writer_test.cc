// A text goes on exactly where it stopped, wherever it is cut.
#include "spikegpt/infer/writer.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/infer/state_file.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/safetensors.h"
#include "tests/support/model_case.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_model.h"
#include "tests/text/expect_error.h"
#include "tests/text/small_bpe.h"

#include "spikegpt/text/bpe_tokenizer.h"

namespace spikegpt::test {
namespace {

const std::atomic<bool> kNever = false;

// A token as the observer saw it: with a sum over its logits, whether it was given.
struct Seen {
  TokenId token;
  double logits;
  bool given;
  bool operator==(const Seen&) const = default;
};

// What came of a text: what was shown and seen.
struct Outcome {
  std::string text;
  std::vector<Seen> seen;
  bool operator==(const Outcome&) const = default;
};

// A model of bytes that writes all of them, so that characters are cut, and never settles.
class WriterTest : public testing::Test {
 protected:
  WriterTest() : config_(small_config("event", {24, 256, 32})), parameters_(config_) {
    initialise(config_, InitKind::kDefault, 3, parameters_.data());
    for (const ParameterInfo& info : parameters_.layout().infos()) {
      for (float& value : parameters_.of(info)) value *= info.name == "head.weight" ? 40.0f : 3.0f;
    }
    model_ = std::make_unique<PackedModel>(config_, parameters_.data(),
                                           default_pack_options(config_, WeightType::kF32));
  }

  static SamplerConfig seeded() {
    SamplerConfig config;
    config.top_p = 1.0;
    config.repetition_penalty = 1.3;
    config.repetition_window = 7;
    config.seed = 5;
    return config;
  }

  // Writes `tokens` behind `prompt`, going on from the state in `file_` and leaving one there.
  void write(const std::string& prompt, std::int64_t tokens, const SamplerConfig& sampler, Outcome& outcome,
             const std::vector<std::string>& stops = {}, bool last = false) {
    Session session(*model_);
    WritingState state;
    if (std::filesystem::exists(file_)) {
      const SavedText saved = load_state(file_, *model_);
      session.set_state(saved.session);
      state = saved.writing;
    }
    const TextSink show = [&](const std::string& piece) { outcome.text += piece; };
    TextWriter writer(session, *tokenizer_, {sampler, stops, observer(outcome)}, state);
    writer.give(prompt, kNever, show);
    outcome.text += prompt;
    writer.write(tokens, kNever, show);
    if (last) writer.finish(show);
    save_state(file_, *model_, session.state(), writer.state());
  }
  TokenObserver observer(Outcome& outcome) const {
    return [&outcome](TokenId token, std::span<const float> logits, bool given) {
      double sum = logits.empty() ? -1.0 : 0.0;
      for (std::size_t i = 0; i < logits.size(); ++i) sum += logits[i] * static_cast<double>(i + 1);
      outcome.seen.push_back({token, sum, given});
    };
  }
  void forget() const { std::filesystem::remove(file_); }

  // A text of `tokens` behind `prompt`, written in one go.
  Outcome whole(const std::string& prompt, std::int64_t tokens, const SamplerConfig& sampler,
                const std::vector<std::string>& stops = {}) {
    forget();
    Outcome outcome;
    write(prompt, tokens, sampler, outcome, stops, true);
    return outcome;
  }

  TemporaryDirectory folder_;
  std::filesystem::path file_ = folder_ / "state";
  ModelConfig config_;
  FlatParameters parameters_;
  std::unique_ptr<PackedModel> model_;
  std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer("bytes", "");
};

TEST_F(WriterTest, WhereverItIsCutItGoesOnAsIfItWereNot) {
  SamplerConfig greedy = seeded();
  greedy.temperature = 0.0;
  for (const SamplerConfig& sampler : {greedy, seeded()}) {
    const Outcome expected = whole("In the", 60, sampler);
    for (int cut = 0; cut <= 60; cut += cut < 12 ? 1 : 7) {
      forget();
      Outcome parts;
      write("In the", cut, sampler, parts);
      write("", 60 - cut, sampler, parts, {}, true);
      EXPECT_EQ(parts, expected) << "cut behind " << cut;
    }
    forget();
    Outcome steps;
    write("In the", 0, sampler, steps);
    for (int i = 0; i < 60; ++i) write("", 1, sampler, steps, {}, i == 59);
    EXPECT_EQ(steps, expected) << "cut behind every token";
  }
}

TEST_F(WriterTest, AStopStringOverTheCutEndsIt) {
  const std::string text = whole("In the", 60, seeded()).text;
  for (std::size_t at = 10; at < 24; at += 3) {
    const std::vector<std::string> stops = {text.substr(at, 4), "never met"};
    const Outcome expected = whole("In the", 60, seeded(), stops);
    ASSERT_LT(expected.text.size(), text.size());
    for (int cut = 0; cut < 24; ++cut) {
      forget();
      Outcome parts;
      write("In the", cut, seeded(), parts, stops);
      write("", 60 - cut, seeded(), parts, stops, true);
      EXPECT_EQ(parts, expected) << "cut behind " << cut;
    }
  }
}

TEST_F(WriterTest, ATextThatEndedGoesOnWithoutTheStopOrBehindAPrompt) {
  const std::string text = whole("In the", 30, seeded()).text;
  const std::vector<std::string> stops = {text.substr(12, 3)};
  forget();
  Outcome parts;
  write("In the", 30, seeded(), parts, stops);
  EXPECT_EQ(load_state(file_, *model_).writing.held.substr(0, 3), stops[0]);
  const std::string stopped = parts.text;
  write("", 5, seeded(), parts, stops);
  EXPECT_EQ(parts.text, stopped) << "it has ended";
  Outcome other = parts;
  const std::string state = read_text(file_);
  const auto written = static_cast<std::int64_t>(parts.seen.size()) - 6;
  write("", 30 - written, seeded(), parts, {"never met"}, true);
  EXPECT_EQ(parts.text, text);
  write_text_atomically(file_, state);
  write(" and", 5, seeded(), other, stops);
  EXPECT_TRUE(other.text.starts_with(stopped + " and")) << "the stop string is not shown";
}

TEST_F(WriterTest, APromptBehindATextFollowsItsLastToken) {
  Outcome parts;
  write("In the", 9, seeded(), parts);
  const std::vector<TokenId> pending = load_state(file_, *model_).writing.pending;
  EXPECT_EQ(pending, std::vector<TokenId>{parts.seen.back().token});
  write(" end", 4, seeded(), parts);
  // The same tokens read at once: the sums over the logits before each tell.
  std::vector<TokenId> tokens;
  for (const Seen& seen : parts.seen) tokens.push_back(seen.token);
  Session session(*model_);
  const std::vector<float> logits = session.feed_all(tokens);
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    double sum = 0.0;
    for (std::size_t v = 0; v < 256; ++v) sum += logits[(i - 1) * 256 + v] * static_cast<double>(v + 1);
    EXPECT_EQ(parts.seen[i].logits, sum) << "token " << i;
  }
  ASSERT_EQ(tokens.size(), 6u + 9u + 4u + 4u);
  EXPECT_TRUE(parts.seen[15].given);
  EXPECT_FALSE(parts.seen[14].given);
}

TEST_F(WriterTest, AnInterruptionWhileThePromptIsReadLosesNothing) {
  std::string prompt;
  for (int i = 0; i < 2000; ++i) prompt += static_cast<char>(' ' + i * 7 % 90);
  const Outcome expected = whole(prompt, 20, seeded());
  for (const std::size_t when : {0u, 1u, 300u, 1900u}) {
    forget();
    Outcome parts;
    {
      Session session(*model_);
      std::atomic<bool> stop = false;
      WritingOptions options = {seeded(), {}, {}};
      options.on_token = [&, see = observer(parts)](TokenId token, std::span<const float> logits,
                                                    bool given) {
        see(token, logits, given);
        if (parts.seen.size() > when) stop = true;
      };
      TextWriter writer(session, *tokenizer_, options);
      const TextSink show = [&](const std::string& piece) { parts.text += piece; };
      writer.give(prompt, kNever, show);
      parts.text += prompt;
      const WritingReport report = writer.write(20, stop, show);
      EXPECT_EQ(report.new_tokens, 0);
      EXPECT_EQ(report.prompt_tokens, session.tokens_read());
      EXPECT_LT(session.tokens_read(), 2000);
      save_state(file_, *model_, session.state(), writer.state());
    }
    write("", 20, seeded(), parts, {}, true);
    EXPECT_EQ(parts, expected) << "interrupted behind " << when;
  }
}

TEST_F(WriterTest, AnInterruptionWhileThePromptIsTurnedIntoTokensChangesNothing) {
  Session session(*model_);
  TextWriter writer(session, *tokenizer_, {});
  const std::atomic<bool> stop = true;
  expect_error(ErrorKind::kCancelled, {"prompt"},
               [&] { writer.give("In the", stop, [](const std::string&) {}); });
  EXPECT_TRUE(writer.state().pending.empty());
}

TEST_F(WriterTest, GoesOnWithOtherSettings) {
  Outcome parts;
  write("In the", 20, seeded(), parts);
  const std::string state = read_text(file_);
  SamplerConfig other = seeded();
  Outcome same = parts;
  write("", 20, other, same, {}, true);
  EXPECT_EQ(same, whole("In the", 40, seeded()));
  for (const int setting : {0, 1, 2}) {
    other = seeded();
    if (setting == 0) other.seed = 6;
    if (setting == 1) other.temperature = 0.0;
    if (setting == 2) other.repetition_window = 2;
    write_text_atomically(file_, state);
    Outcome changed = parts;
    write("", 20, other, changed, {}, true);
    EXPECT_NE(changed.text, same.text) << setting;
    EXPECT_EQ(load_state(file_, *model_).writing.sampler.seed, other.seed);
  }
}

TEST_F(WriterTest, APromptThatEndsInsideACharacterIsCompleted) {
  const auto shown_behind = [&](const std::string& prompt, const std::vector<int>& bytes) {
    StreamingDecoder decoder(*tokenizer_);
    EXPECT_EQ(decoder.pass(prompt), "");
    std::string text;
    for (const int byte : bytes) text += decoder.push(byte);
    return text + decoder.finish();
  };
  EXPECT_EQ(shown_behind("a\xEA\xB0", {0x95, 'x'}), "\x95x");
  EXPECT_EQ(shown_behind("\xEA", {0xB0, 0x95, 'x'}), "\xB0\x95x");
  EXPECT_EQ(shown_behind("\xEA\xB0", {'x'}), "x") << "no U+FFFD for bytes that are shown";
  EXPECT_EQ(shown_behind("\xEA", {0xB0, 'x'}), "\xB0x") << "bytes as they are";
  EXPECT_EQ(shown_behind("\xEA", {0xB0}), "\xB0");
  EXPECT_EQ(shown_behind("\xEA\xB0", {}), "");
  EXPECT_EQ(shown_behind("ab", {0xC3, 'x'}), "\uFFFDx");
  // Through the model: the bytes of the prompt are shown once, cut or not.
  SamplerConfig greedy = seeded();
  greedy.temperature = 0.0;
  const Outcome expected = whole("\xEA\xB0", 12, greedy);
  forget();
  Outcome parts;
  write("\xEA\xB0", 0, greedy, parts);
  EXPECT_EQ(load_state(file_, *model_).writing.unfinished.shown, 2u);
  write("", 12, greedy, parts, {}, true);
  EXPECT_EQ(parts, expected);
}

TEST_F(WriterTest, BytesHeldBackStandBeforeAFurtherPrompt) {
  StreamingDecoder decoder(*tokenizer_);
  EXPECT_EQ(decoder.push(0xEA), "");
  EXPECT_EQ(decoder.pass("\xB0"), "\xEA");
  EXPECT_EQ(decoder.unfinished().bytes, "\xEA\xB0");
  EXPECT_EQ(decoder.unfinished().shown, 2u);
  EXPECT_EQ(decoder.push(0x95), "\x95");
  EXPECT_EQ(decoder.push('x'), "x");
}

TEST_F(WriterTest, TheEndOfATextIsKept) {
  nlohmann::json bpe = small_bpe({});
  // One of the bytes that greedy writing soon comes to stands for the end of text.
  SamplerConfig greedy = seeded();
  greedy.temperature = 0.0;
  const Outcome plain = whole("In the", 12, greedy);
  const TokenId end = plain.seen[6 + 4].token;
  bpe["added_tokens"] = {
      {{"id", end}, {"content", "<|endoftext|>"}, {"special", true}, {"normalized", false}}};
  auto& vocabulary = bpe["model"]["vocab"];
  vocabulary.erase(spell_bytes(std::string(1, static_cast<char>(end))));
  vocabulary["<|endoftext|>"] = end;
  tokenizer_ = BpeTokenizer::parse(bpe.dump(), "bpe");
  ASSERT_EQ(tokenizer_->end_of_text(), end);
  forget();
  Outcome parts;
  write("In the", 12, greedy, parts);
  const SavedText saved = load_state(file_, *model_);
  EXPECT_TRUE(saved.writing.ended);
  EXPECT_EQ(saved.writing.pending, std::vector<TokenId>{end});
  const Outcome ended = parts;
  write("", 12, greedy, parts);
  EXPECT_EQ(parts, ended) << "nothing follows";
  write("!", 1, greedy, parts);
  ASSERT_EQ(parts.seen.size(), ended.seen.size() + 2);
  EXPECT_FALSE(load_state(file_, *model_).writing.ended);
}

TEST_F(WriterTest, NothingStandsBeforeATextThatGoesOn) {
  Outcome parts;
  write("", 3, seeded(), parts);
  EXPECT_EQ(parts.seen.front().token, '\n');  // of an empty text
  write("", 3, seeded(), parts);
  EXPECT_EQ(parts.seen.size(), 7u);
  for (std::size_t i = 1; i < 7; ++i) EXPECT_FALSE(parts.seen[i].given);
}

TEST_F(WriterTest, StatesOfVersionOneAreRead) {
  Session session(*model_);
  session.feed(std::vector<TokenId>{1, 2, 3});
  save_state(file_, *model_, session.state());
  {
    const WeightFile file = read_safetensors(file_);
    std::map<std::string, std::string> metadata;
    for (const char* key : {"format", "model", "tokens_read"})
      metadata[key] = file.metadata_at(key, "a state");
    metadata["version"] = "1";
    write_safetensors(folder_ / "old", metadata, file.tensors());
  }
  const SavedText old = load_state(folder_ / "old", *model_);
  EXPECT_EQ(old.session.tokens_read, 3);
  EXPECT_TRUE(old.writing.pending.empty());
  std::filesystem::rename(folder_ / "old", file_);
  Outcome parts;
  write("In", 3, seeded(), parts);
  ASSERT_EQ(parts.seen.size(), 5u);
  session.feed(std::vector<TokenId>{'I'});
  const std::vector<float> logits = session.feed_all(std::vector<TokenId>{'n'});
  double sum = 0.0;
  for (std::size_t v = 0; v < 256; ++v) sum += logits[v] * static_cast<double>(v + 1);
  EXPECT_EQ(parts.seen[2].logits, sum);
}

TEST_F(WriterTest, DamagedStatesAreRefused) {
  Outcome parts;
  write("In the \xEA", 8, seeded(), parts, {"never met"});
  struct Change {
    const char* key;
    const char* value;
  };
  const WeightFile good = read_safetensors(file_);
  for (const Change& change : std::initializer_list<Change>{{"version", "3"},
                                                            {"ended", "perhaps"},
                                                            {"random_counter", "-1"},
                                                            {"unfinished_shown", "9"},
                                                            {"sampler", "[]"},
                                                            {"sampler", "{\"top_p\":7}"},
                                                            {"sampler", "{\"top_q\":0.5}"},
                                                            {"sampler", "{"},
                                                            {"tokens_read", "x"}}) {
    std::map<std::string, std::string> metadata = good.metadata();
    metadata[change.key] = change.value;
    write_safetensors(folder_ / "bad", metadata, good.tensors());
    EXPECT_THROW(load_state(folder_ / "bad", *model_), Error) << change.key << " " << change.value;
  }
  const std::vector<TokenId> foreign = {256};
  const std::vector<std::byte> letter = {std::byte{'x'}};
  for (const TensorView& bad : {TensorView{"pending", DType::kI32, {1}, std::as_bytes(std::span(foreign))},
                                TensorView{"recent", DType::kI32, {1}, std::as_bytes(std::span(foreign))},
                                TensorView{"held", DType::kI32, {1}, std::as_bytes(std::span(foreign))},
                                TensorView{"unfinished", DType::kU8, {1}, letter}}) {
    std::vector<TensorView> tensors;
    for (const TensorView& tensor : good.tensors()) {
      if (tensor.name != bad.name) tensors.push_back(tensor);
    }
    tensors.push_back(bad);
    write_safetensors(folder_ / "bad", good.metadata(), tensors);
    expect_error(ErrorKind::kCorruptFile, {"bad", bad.name}, [&] { load_state(folder_ / "bad", *model_); });
  }
}

}  // namespace
}  // namespace spikegpt::test
