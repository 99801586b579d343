#include "spikegpt/text/bpe_merges.h"

#include <gtest/gtest.h>

#include "spikegpt/core/random.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;

// The definition, as slow as it is plain.
Ids merge_naively(const std::vector<Merge>& merges, Ids symbols) {
  for (;;) {
    std::size_t best_rank = merges.size();
    std::size_t best_place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (std::size_t rank = merges.size(); rank-- > 0;) {  // the later of two equal pairs holds
        if (merges[rank].left != symbols[i] || merges[rank].right != symbols[i + 1]) continue;
        if (rank < best_rank) {
          best_rank = rank;
          best_place = i;
        }
        break;
      }
    }
    if (best_rank == merges.size()) return symbols;
    symbols[best_place] = merges[best_rank].result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_place) + 1);
  }
}

// Four letters, then one token a merge. In order: of tokens made before, as training does.
std::vector<Merge> random_merges(RandomStream& random, int count, bool in_order) {
  std::vector<Merge> merges;
  for (int i = 0; i < count; ++i) {
    const auto known = static_cast<std::uint64_t>(in_order ? 4 + i : 4 + count);
    merges.push_back(
        {static_cast<TokenId>(random.next_below(known)), static_cast<TokenId>(random.next_below(known)), 4 + i});
  }
  return merges;
}

void expect_all_ways_agree(bool in_order) {
  RandomStream random(in_order ? 1 : 2, RandomPurpose::kSampling);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    const auto merges = random_merges(random, 1 + static_cast<int>(random.next_below(30)), in_order);
    const MergeTable table(merges);
    WordMerger merger(table);
    for (const std::size_t size : {0, 1, 2, 3, 7, 47, 48, 49, 130}) {
      Ids symbols(size);
      for (TokenId& id : symbols) id = static_cast<TokenId>(random.next_below(4));
      const Ids expected = merge_naively(merges, symbols);
      Ids by_scan = symbols;
      merger.merge_by_scan(by_scan);
      EXPECT_EQ(by_scan, expected);
      Ids by_heap = symbols;
      merger.merge_by_heap(by_heap);
      EXPECT_EQ(by_heap, expected);
      Ids by_rank = symbols;
      const bool done = merger.merge_by_rank(by_rank);
      EXPECT_EQ(by_rank, done ? expected : symbols);
      refused += done ? 0 : 1;
      merger.merge(symbols);
      EXPECT_EQ(symbols, expected);
    }
  }
  EXPECT_EQ(refused > 0, !in_order);
}

TEST(WordMerger, AllWaysGiveTheDefinition) { expect_all_ways_agree(true); }

TEST(WordMerger, AlsoForMergesNoTrainingMakes) { expect_all_ways_agree(false); }

TEST(MergeTable, FindsWhatIsThereAndNothingElse) {
  const std::vector<Merge> merges = {{0, 0, 2}, {0, 1, 3}, {1, 0, 4}, {0, 1, 5}};
  const MergeTable table(merges);
  EXPECT_EQ(table.find(0, 0).rank, 0u);
  EXPECT_EQ(table.find(0, 1).rank, 3u);  // the later one
  EXPECT_EQ(table.find(0, 1).result, 5);
  EXPECT_EQ(table.find(1, 1).rank, MergeTable::kNone);
  EXPECT_EQ(table.find(-1, -1).rank, MergeTable::kNone);
  EXPECT_EQ(MergeTable(std::vector<Merge>()).find(0, 0).rank, MergeTable::kNone);
}

}  // namespace
}  // namespace spikegpt
