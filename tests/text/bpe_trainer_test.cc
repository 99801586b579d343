#include "spikegpt/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "spikegpt/core/random.h"
#include "spikegpt/text/bpe_tokenizer.h"
#include "spikegpt/text/byte_characters.h"
#include "spikegpt/text/pair_counts.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;

std::string train(std::string_view text, BpeTrainerOptions options) {
  BpeTrainer trainer(std::move(options));
  trainer.add(text);
  return trainer.train();
}

std::string some_text() {
  RandomStream random(8, RandomPurpose::kSampling);
  const std::vector<std::string> words = {" the",          " there", " then", " caf\u00E9", "\n",    " 1984",
                                          " \u6F22\u5B57", "!",      "  x",   " thing",     " sing", "'s"};
  std::string text;
  for (int i = 0; i < 3000; ++i) text += words[random.next_below(words.size())];
  return text;
}

// The definition: counts all pairs anew for every merge.
std::vector<Merge> train_naively(std::vector<CountedWord> words, TokenId next, int wanted) {
  std::vector<Merge> merges;
  for (; static_cast<int>(merges.size()) < wanted; ++next) {
    std::map<std::pair<TokenId, TokenId>, std::int64_t> counts;
    for (const auto& [symbols, count] : words) {
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        counts[{symbols[i], symbols[i + 1]}] += count;
      }
    }
    if (counts.empty()) break;
    const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second < b.second : a.first > b.first;
    });
    const auto [left, right] = best->first;
    merges.push_back({left, right, next});
    for (auto& [symbols, count] : words) {
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i] != left || symbols[i + 1] != right) continue;
        symbols[i] = next;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(PairCounts, MergesAsTheDefinitionDoes) {
  RandomStream random(6, RandomPurpose::kSampling);
  for (int round = 0; round < 100; ++round) {
    std::vector<CountedWord> words(1 + random.next_below(20));
    for (CountedWord& word : words) {
      word.symbols.resize(random.next_below(15));
      for (TokenId& id : word.symbols) id = static_cast<TokenId>(random.next_below(3));
      word.count = 1 + static_cast<std::int64_t>(random.next_below(5));
    }
    const std::vector<Merge> expected = train_naively(words, 3, 40);
    PairCounts counts(words);
    for (const Merge& merge : expected) {
      const auto best = counts.best();
      ASSERT_TRUE(best);
      ASSERT_EQ(best->left, merge.left);
      ASSERT_EQ(best->right, merge.right);
      counts.merge(*best, merge.result);
    }
    if (expected.size() < 40) {
      EXPECT_FALSE(counts.best());
    }
  }
}

TEST(BpeTrainer, TheMostFrequentPairComesFirst) {
  const json file = json::parse(train("abab abab xyz", {.vocab_size = 260}));
  // " abab" twice less than "abab": "ab" 4 times, then "abab" twice ("xyz" once is too rare).
  EXPECT_EQ(file["model"]["merges"], json::array({"a b", "ab ab"}));
  EXPECT_EQ(file["model"]["vocab"]["<|endoftext|>"], 0);
  EXPECT_EQ(file["model"]["vocab"]["!"], 1);
  EXPECT_EQ(file["model"]["vocab"]["abab"], 258);
}

TEST(BpeTrainer, WhatItWritesIsReadAndUsed) {
  const std::string text = some_text();
  const auto tokenizer =
      BpeTokenizer::parse(train(text, {.vocab_size = 285, .special_tokens = {"<|endoftext|>", "<|pad|>"}}), "trained");
  EXPECT_EQ(tokenizer->vocab_size(), 285);
  EXPECT_EQ(tokenizer->end_of_text(), 0);
  EXPECT_EQ(tokenizer->find_added_token("<|pad|>"), 1);
  const Ids ids = tokenizer->encode(text).ids;
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_LT(ids.size(), text.size() / 3);
  EXPECT_EQ(tokenizer->encode(" there").ids.size(), 1u);
}

TEST(BpeTrainer, IsDeterministic) {
  const std::string text = some_text();
  EXPECT_EQ(train(text, {.vocab_size = 320}), train(text, {.vocab_size = 320}));
  BpeTrainer in_parts({.vocab_size = 320});
  const std::size_t cut = text.find(" the", text.size() / 2);
  in_parts.add(std::string_view(text).substr(cut));  // neither the order of the parts matters
  in_parts.add(std::string_view(text).substr(0, cut));
  EXPECT_EQ(in_parts.train(), train(text, {.vocab_size = 320}));
}

TEST(BpeTrainer, StopsWhenNothingRepeats) {
  const json file = json::parse(train("abcdefg", {.vocab_size = 5000}));
  EXPECT_TRUE(file["model"]["merges"].empty());
  EXPECT_EQ(file["model"]["vocab"].size(), 257u);
}

TEST(BpeTrainer, TheTextOfASpecialTokenIsNoTrouble) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "ab<|endoftext|>";
  const auto tokenizer =
      BpeTokenizer::parse(train(text, {.vocab_size = 300, .special_tokens = {"ab", "<|"}}), "trained");
  EXPECT_EQ(tokenizer->encode("ab<|").ids, (Ids{0, 1}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).ids), text);
}

TEST(BpeTrainer, HostileTextIsHeldAtBay) {
  std::string text(2'000'000, 'a');
  text += "\xFF\xFE\xC3" + std::string(1000, '\0') + "caf\xE9";
  const auto tokenizer = BpeTokenizer::parse(train(text, {.vocab_size = 280}), "trained");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).ids), text);
}

TEST(BpeTrainer, ReportsProgress) {
  BpeTrainer trainer({.vocab_size = 280});
  trainer.add(some_text());
  std::int64_t last = -1;
  trainer.train([&](std::int64_t done, std::int64_t wanted) {
    EXPECT_EQ(wanted, 280 - 257);
    EXPECT_GT(done, last);
    last = done;
  });
  EXPECT_EQ(last, 23);
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  expect_error(ErrorKind::kInvalidArgument, {"100", "257"}, [] { BpeTrainer({.vocab_size = 100}); });
  expect_error(ErrorKind::kInvalidArgument, {"most"}, [] { BpeTrainer({.vocab_size = 1LL << 40}); });
  expect_error(ErrorKind::kInvalidArgument, {"\"x\""}, [] { BpeTrainer({.special_tokens = {"x"}}); });
  expect_error(ErrorKind::kInvalidArgument, {"<s>", "once"}, [] { BpeTrainer({.special_tokens = {"<s>", "<s>"}}); });
  expect_error(ErrorKind::kInvalidArgument, {"no text"}, [] { BpeTrainer({}).train(); });
}

TEST(ByteCharacters, SpellAllBytes) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  EXPECT_EQ(bytes_of_spelling(spell_bytes(bytes)), bytes);
  EXPECT_EQ(spell_bytes(" a\n\xFF\xAD"), "ĠaĊÿŃ");
  EXPECT_FALSE(bytes_of_spelling("a b"));
  EXPECT_FALSE(bytes_of_spelling("\u6F22"));
  EXPECT_FALSE(bytes_of_spelling("\u0144"));
  EXPECT_FALSE(bytes_of_spelling("\xFF"));
}

}  // namespace
}  // namespace spikegpt
