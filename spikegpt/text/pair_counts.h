// The bookkeeping of BPE training: which pairs of tokens stand side by side how often, and where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// A word of the corpus as it is merged so far.
struct CountedWord {
  std::vector<TokenId> symbols;
  std::int64_t count = 0;
};

class PairCounts {
 public:
  explicit PairCounts(std::vector<CountedWord> words);

  struct Best {
    TokenId left = 0;
    TokenId right = 0;
    std::int64_t count = 0;
  };
  // The most frequent pair; of several the one with the smallest left, then right id.
  std::optional<Best> best();
  // Replaces the pair by `result` in all words.
  void merge(const Best& pair, TokenId result);

 private:
  using Key = std::uint64_t;
  struct KeyHash {
    std::size_t operator()(Key key) const noexcept { return (key * 0x9E3779B97F4A7C15u) >> 13; }
  };
  struct Pair {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // where it occurs or did, ascending but for repetitions
  };
  struct Candidate {
    std::int64_t count;
    Key key;
  };
  struct Less {  // for std::*_heap: the best on top
    bool operator()(const Candidate& a, const Candidate& b) const noexcept {
      return a.count != b.count ? a.count < b.count : a.key > b.key;
    }
  };

  void change(TokenId left, TokenId right, std::int64_t amount, std::uint32_t word);
  void merge_in_word(const Best& pair, TokenId result, std::uint32_t word);
  void push(Candidate candidate);

  std::vector<CountedWord> words_;
  std::unordered_map<Key, Pair, KeyHash> pairs_;
  std::vector<Candidate> heap_;  // counts may be out of date: then too large, never too small
  std::vector<Key> grown_;       // pairs whose counts have grown in the merge at hand
};

}  // namespace spikegpt
