#include "spikegpt/text/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::size_t kShortWord = 48;  // up to here looking at every pair is fastest
constexpr std::size_t kLongestWord = 0x7FFFFFFF;

constexpr std::uint64_t key_of(TokenId left, TokenId right) noexcept {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(std::span<const Merge> merges)
    : size_(merges.size()), slots_(std::bit_ceil(2 * merges.size() + 2)) {
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    const std::uint64_t key = key_of(merge.left, merge.right);
    slots_[slot_of(key)] = {key, {static_cast<std::uint32_t>(rank), merge.result}};
  }
}

std::size_t MergeTable::slot_of(std::uint64_t key) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 32) & mask;
  while (slots_[slot].key != key && slots_[slot].entry.rank != kNone) slot = (slot + 1) & mask;
  return slot;
}

MergeTable::Entry MergeTable::find(TokenId left, TokenId right) const noexcept {
  return slots_[slot_of(key_of(left, right))].entry;
}

void WordMerger::merge(std::vector<TokenId>& symbols) {
  if (symbols.size() <= kShortWord) {
    merge_by_scan(symbols);
  } else if (!merge_by_rank(symbols)) {
    merge_by_heap(symbols);
  }
}

void WordMerger::merge_by_scan(std::vector<TokenId>& symbols) {
  pairs_.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    pairs_.push_back(table_->find(symbols[i], symbols[i + 1]));
  }
  while (!pairs_.empty()) {
    const auto best =
        std::min_element(pairs_.begin(), pairs_.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (best->rank == MergeTable::kNone) return;
    const auto at = static_cast<std::size_t>(best - pairs_.begin());
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs_.erase(best);
    if (at > 0) pairs_[at - 1] = table_->find(symbols[at - 1], symbols[at]);
    if (at < pairs_.size()) pairs_[at] = table_->find(symbols[at], symbols[at + 1]);
  }
}

void WordMerger::start_chain(const std::vector<TokenId>& symbols) {
  if (symbols.size() > kLongestWord) {
    throw Error(ErrorKind::kUnsupported, "a word of {} bytes without a space is too long to tokenize", symbols.size());
  }
  const auto count = static_cast<std::int32_t>(symbols.size());
  chain_.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    chain_.push_back({symbols[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  }
}

void WordMerger::collect_chain(std::vector<TokenId>& symbols) const {
  symbols.clear();
  if (chain_.empty()) return;
  for (std::int32_t i = 0; i >= 0; i = chain_[static_cast<std::size_t>(i)].next) {
    symbols.push_back(chain_[static_cast<std::size_t>(i)].id);
  }
}

MergeTable::Entry WordMerger::pair_at(std::int32_t left) const noexcept {
  const Symbol& symbol = chain_[static_cast<std::size_t>(left)];
  if (symbol.id < 0 || symbol.next < 0) return {};
  return table_->find(symbol.id, chain_[static_cast<std::size_t>(symbol.next)].id);
}

bool WordMerger::apply(std::uint32_t rank, std::int32_t left) noexcept {
  const MergeTable::Entry entry = pair_at(left);
  if (entry.rank != rank) return false;
  Symbol& symbol = chain_[static_cast<std::size_t>(left)];
  Symbol& merged = chain_[static_cast<std::size_t>(symbol.next)];
  symbol.id = entry.result;
  symbol.next = merged.next;
  merged.id = -1;
  if (symbol.next >= 0) chain_[static_cast<std::size_t>(symbol.next)].previous = left;
  return true;
}

void WordMerger::add_to_heap(std::int32_t left) {
  const MergeTable::Entry entry = pair_at(left);
  if (entry.rank == MergeTable::kNone) return;
  heap_.push_back((std::uint64_t{entry.rank} << 32) | static_cast<std::uint32_t>(left));
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void WordMerger::merge_by_heap(std::vector<TokenId>& symbols) {
  start_chain(symbols);
  heap_.clear();
  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) add_to_heap(i);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto rank = static_cast<std::uint32_t>(heap_.back() >> 32);
    const auto left = static_cast<std::int32_t>(heap_.back() & 0xFFFFFFFF);
    heap_.pop_back();
    if (!apply(rank, left)) continue;
    const std::int32_t previous = chain_[static_cast<std::size_t>(left)].previous;
    if (previous >= 0) add_to_heap(previous);
    add_to_heap(left);
  }
  collect_chain(symbols);
}

void WordMerger::add_to_bucket(std::int32_t left) {
  const MergeTable::Entry entry = pair_at(left);
  if (entry.rank == MergeTable::kNone) return;
  std::vector<std::int32_t>& bucket = buckets_[entry.rank];
  if (bucket.empty()) {
    ranks_.push_back(entry.rank);
    std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  }
  bucket.push_back(left);
}

bool WordMerger::merge_by_rank(std::vector<TokenId>& symbols) {
  start_chain(symbols);
  buckets_.resize(table_->size());
  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) add_to_bucket(i);
  std::vector<std::int32_t> places;
  bool in_order = true;
  while (!ranks_.empty()) {
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    const std::uint32_t rank = ranks_.back();
    ranks_.pop_back();
    places.clear();
    places.swap(buckets_[rank]);
    if (!in_order) continue;  // only empties the buckets
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    for (const std::int32_t left : places) {
      if (!apply(rank, left)) continue;
      const std::int32_t previous = chain_[static_cast<std::size_t>(left)].previous;
      if (previous >= 0) add_to_bucket(previous);
      add_to_bucket(left);
    }
    in_order = ranks_.empty() || ranks_.front() > rank;
  }
  if (in_order) collect_chain(symbols);
  return in_order;
}

}  // namespace spikegpt
