#include "spikegpt/text/bpe_merges.h"

#include <algorithm>
#include <bit>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::size_t kShortWord = 48;  // up to here looking at every pair beats a heap

constexpr std::uint64_t key_of(TokenId left, TokenId right) noexcept {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(std::span<const Merge> merges)
    : slots_(std::bit_ceil(2 * merges.size() + 2)) {
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
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortWord) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
}

void WordMerger::merge_short(std::vector<TokenId>& symbols) {
  pairs_.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    pairs_.push_back(table_->find(symbols[i], symbols[i + 1]));
  }
  while (!pairs_.empty()) {
    const auto best = std::min_element(pairs_.begin(), pairs_.end(), [](const auto& a, const auto& b) {
      return a.rank < b.rank;
    });
    if (best->rank == MergeTable::kNone) return;
    const auto at = static_cast<std::size_t>(best - pairs_.begin());
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs_.erase(best);
    if (at > 0) pairs_[at - 1] = table_->find(symbols[at - 1], symbols[at]);
    if (at < pairs_.size()) pairs_[at] = table_->find(symbols[at], symbols[at + 1]);
  }
}

void WordMerger::add_candidate(std::int32_t left) {
  const Symbol& symbol = chain_[static_cast<std::size_t>(left)];
  if (symbol.next < 0) return;
  const MergeTable::Entry entry =
      table_->find(symbol.id, chain_[static_cast<std::size_t>(symbol.next)].id);
  if (entry.rank != MergeTable::kNone) heap_.push_back({entry.rank, left, entry.result});
}

void WordMerger::apply(const Candidate& candidate) {
  Symbol& left = chain_[static_cast<std::size_t>(candidate.left)];
  if (left.id < 0 || left.next < 0) return;
  Symbol& right = chain_[static_cast<std::size_t>(left.next)];
  if (table_->find(left.id, right.id).rank != candidate.rank) return;  // no longer what it was
  left.id = candidate.result;
  left.next = right.next;
  right.id = -1;
  if (left.next >= 0) chain_[static_cast<std::size_t>(left.next)].previous = candidate.left;
  for (const std::int32_t start : {left.previous, candidate.left}) {
    if (start < 0) continue;
    const std::size_t before = heap_.size();
    add_candidate(start);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), Later());
  }
}

void WordMerger::merge_long(std::vector<TokenId>& symbols) {
  if (symbols.size() > 0x7FFFFFFF) {
    throw Error(ErrorKind::kUnsupported, "a word of {} bytes without a space is too long to tokenize",
                symbols.size());
  }
  const auto count = static_cast<std::int32_t>(symbols.size());
  chain_.clear();
  heap_.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    chain_.push_back({symbols[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  }
  for (std::int32_t i = 0; i < count; ++i) add_candidate(i);
  std::make_heap(heap_.begin(), heap_.end(), Later());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    apply(candidate);
  }
  symbols.clear();
  for (std::int32_t i = 0; i >= 0; i = chain_[static_cast<std::size_t>(i)].next) {
    symbols.push_back(chain_[static_cast<std::size_t>(i)].id);
  }
}

}  // namespace spikegpt
