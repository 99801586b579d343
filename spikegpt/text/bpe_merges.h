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

  // The merge of a pair; rank kNone when there is none.
  Entry find(TokenId left, TokenId right) const noexcept;

 private:
  struct Slot {
    std::uint64_t key = ~std::uint64_t{0};
    Entry entry;
  };
  std::size_t slot_of(std::uint64_t key) const noexcept;

  std::vector<Slot> slots_;  // a power of two, at most half full
};

// Merges one word again and again where the rank is smallest, leftmost first. Memory is kept from
// word to word; O(n log n) for n symbols.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& table) : table_(&table) {}
  // Reduces `symbols` in place.
  void merge(std::vector<TokenId>& symbols);

 private:
  struct Symbol {
    TokenId id;
    std::int32_t previous;
    std::int32_t next;
  };
  struct Candidate {
    std::uint32_t rank;
    std::int32_t left;
    TokenId result;
  };
  // For std::*_heap, which keeps the largest on top.
  struct Later {
    bool operator()(const Candidate& a, const Candidate& b) const noexcept {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };

  void merge_short(std::vector<TokenId>& symbols);
  void merge_long(std::vector<TokenId>& symbols);
  void add_candidate(std::int32_t left);
  void apply(const Candidate& candidate);

  const MergeTable* table_;
  std::vector<Symbol> chain_;
  std::vector<Candidate> heap_;
  std::vector<MergeTable::Entry> pairs_;  // of the short route: pairs_[i] joins symbols i and i + 1
};

}  // namespace spikegpt
