// Byte-pair merging: the heart of a BPE tokenizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// Two neighbouring tokens and what they become. Merges with a smaller rank happen first.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
};

// The merges of a vocabulary by pair, in one flat hash table. Immutable.
class MergeTable {
 public:
  struct Entry {
    std::uint32_t rank = kNone;
    TokenId result = 0;
  };
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  // The rank of a merge is its place; of two with the same pair the later one holds.
  explicit MergeTable(std::span<const Merge> merges);

  // Ranks are below this.
  std::size_t size() const noexcept { return size_; }
  // The merge of a pair; rank kNone when there is none.
  Entry find(TokenId left, TokenId right) const noexcept;

 private:
  struct Slot {
    std::uint64_t key = ~std::uint64_t{0};
    Entry entry;
  };
  std::size_t slot_of(std::uint64_t key) const noexcept;

  std::size_t size_;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

// Merges one word again and again where the rank is smallest, leftmost first. Memory is kept from
// word to word. Time is linear in the word for merges that build on merges of smaller rank, as all
// trained ones do, otherwise n log n.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& table) : table_(&table) {}
  // Reduces `symbols` in place.
  void merge(std::vector<TokenId>& symbols);

  // The three ways, all with the same result; for tests. By rank returns false and changes nothing
  // where a merge makes one of smaller rank possible.
  void merge_by_scan(std::vector<TokenId>& symbols);
  bool merge_by_rank(std::vector<TokenId>& symbols);
  void merge_by_heap(std::vector<TokenId>& symbols);

 private:
  struct Symbol {
    TokenId id;  // -1 = merged into the symbol before it
    std::int32_t previous;
    std::int32_t next;
  };

  void start_chain(const std::vector<TokenId>& symbols);
  void collect_chain(std::vector<TokenId>& symbols) const;
  // The merge of the symbol at `left` and the next one.
  MergeTable::Entry pair_at(std::int32_t left) const noexcept;
  // Merges them if that still has the rank; says so.
  bool apply(std::uint32_t rank, std::int32_t left) noexcept;
  void add_to_heap(std::int32_t left);
  void add_to_bucket(std::int32_t left);

  const MergeTable* table_;
  std::vector<MergeTable::Entry> pairs_;            // by scan: pairs_[i] joins symbols i and i + 1
  std::vector<Symbol> chain_;                       // by rank and by heap
  std::vector<std::uint64_t> heap_;                 // rank and place in one number
  std::vector<std::vector<std::int32_t>> buckets_;  // by rank: places
  std::vector<std::uint32_t> ranks_;                // a heap of those with a bucket in use
};

}  // namespace spikegpt
