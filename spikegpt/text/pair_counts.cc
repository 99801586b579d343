#include "spikegpt/text/pair_counts.h"

#include <algorithm>

namespace spikegpt {
namespace {

constexpr std::uint64_t key_of(TokenId left, TokenId right) noexcept {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

PairCounts::PairCounts(std::vector<CountedWord> words) : words_(std::move(words)) {
  for (std::uint32_t w = 0; w < words_.size(); ++w) {
    const CountedWord& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      change(word.symbols[i], word.symbols[i + 1], word.count, w);
    }
  }
  grown_.clear();
  for (const auto& [key, pair] : pairs_) heap_.push_back({pair.count, key});
  std::make_heap(heap_.begin(), heap_.end(), Less());
}

void PairCounts::change(TokenId left, TokenId right, std::int64_t amount, std::uint32_t word) {
  const Key key = key_of(left, right);
  Pair& pair = pairs_[key];
  pair.count += amount;
  if (amount < 0) return;
  if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  grown_.push_back(key);
}

void PairCounts::push(Candidate candidate) {
  heap_.push_back(candidate);
  std::push_heap(heap_.begin(), heap_.end(), Less());
}

std::optional<PairCounts::Best> PairCounts::best() {
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), Less());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    const auto found = pairs_.find(candidate.key);
    if (found == pairs_.end() || found->second.count <= 0) continue;
    const std::int64_t count = found->second.count;
    if (count < candidate.count) {
      push({count, candidate.key});  // out of date: back to where it belongs
      continue;
    }
    return Best{static_cast<TokenId>(candidate.key >> 32), static_cast<TokenId>(candidate.key & 0xFFFFFFFF), count};
  }
  return std::nullopt;
}

void PairCounts::merge_in_word(const Best& pair, TokenId result, std::uint32_t at) {
  CountedWord& word = words_[at];
  std::vector<TokenId>& symbols = word.symbols;
  const auto change_at = [&](std::size_t i, std::int64_t amount) {
    if (i + 1 < symbols.size()) change(symbols[i], symbols[i + 1], amount, at);
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    if (symbols[i] != pair.left || symbols[i + 1] != pair.right) continue;
    if (i > 0) change_at(i - 1, -word.count);
    change_at(i, -word.count);
    change_at(i + 1, -word.count);
    symbols[i] = result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    if (i > 0) change_at(i - 1, word.count);
    change_at(i, word.count);
  }
}

void PairCounts::merge(const Best& pair, TokenId result) {
  grown_.clear();
  const auto found = pairs_.find(key_of(pair.left, pair.right));
  const std::vector<std::uint32_t> words = std::move(found->second.words);
  for (const std::uint32_t word : words) merge_in_word(pair, result, word);
  pairs_.erase(key_of(pair.left, pair.right));
  std::sort(grown_.begin(), grown_.end());
  grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
  for (const Key key : grown_) {
    const auto changed = pairs_.find(key);
    if (changed != pairs_.end() && changed->second.count > 0) push({changed->second.count, key});
  }
}

}  // namespace spikegpt
