// Sums and copies that ranks make together, against plain loops.
#include "spikegpt/train/collectives.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/thread_team.h"

namespace spikegpt::test {
namespace {

// Parts of unequal size, some of them empty.
std::vector<std::int64_t> parts_of(int ranks) {
  std::vector<std::int64_t> parts = {0};
  for (int rank = 0; rank < ranks; ++rank) parts.push_back(parts.back() + (rank * 7) % 5 * 3);
  return parts;
}

float value(int rank, std::size_t i) { return static_cast<float>((rank + 1) * 100 + static_cast<int>(i)); }

// Counts what a rank sends.
class Counting final : public Communicator {
 public:
  explicit Counting(Communicator& inner) : inner_(inner) {}
  int rank() const noexcept override { return inner_.rank(); }
  int size() const noexcept override { return inner_.size(); }
  void broadcast(std::span<std::byte> bytes) override { inner_.broadcast(bytes); }
  void sum(std::span<double> values) override { inner_.sum(values); }
  void exchange(int to, std::span<const std::byte> out, int from, std::span<std::byte> in) override {
    sent_ += out.size();
    inner_.exchange(to, out, from, in);
  }
  std::size_t sent() const noexcept { return sent_; }

 private:
  Communicator& inner_;
  std::size_t sent_ = 0;
};

class CollectivesTest : public testing::TestWithParam<int> {};

TEST_P(CollectivesTest, SumsArePartedAndGathered) {
  const int ranks = GetParam();
  const std::vector<std::int64_t> parts = parts_of(ranks);
  ThreadTeam(ranks).run([&](Communicator& communicator) {
    std::vector<float> values(static_cast<std::size_t>(parts.back()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(communicator.rank(), i);
    std::vector<float> received;
    reduce_scatter(communicator, values.data(), parts, received);
    const auto expected = [&](std::size_t i) {
      float sum = 0.0f;
      for (int rank = 0; rank < ranks; ++rank) sum += value(rank, i);
      return sum;
    };
    const auto own = static_cast<std::size_t>(communicator.rank());
    for (auto i = static_cast<std::size_t>(parts[own]); i < static_cast<std::size_t>(parts[own + 1]); ++i) {
      EXPECT_EQ(values[i], expected(i)) << "rank " << own << " of " << ranks << ", " << i;
    }
    all_gather(communicator, values.data(), parts);
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], expected(i)) << "rank " << own << ", " << i;
  });
}

TEST_P(CollectivesTest, NoMoreIsSentThanNeeded) {
  const int ranks = GetParam();
  constexpr int kPart = 30;
  std::vector<std::int64_t> parts;
  for (int rank = 0; rank <= ranks; ++rank) parts.push_back(rank * kPart);
  ThreadTeam(ranks).run([&](Communicator& inner) {
    Counting communicator(inner);
    std::vector<float> values(static_cast<std::size_t>(parts.back()));
    std::vector<float> received;
    const auto one_way = static_cast<std::size_t>(ranks - 1) * kPart * sizeof(float);
    reduce_scatter(communicator, values.data(), parts, received);
    EXPECT_EQ(communicator.sent(), one_way);
    all_gather(communicator, values.data(), parts);
    EXPECT_EQ(communicator.sent(), 2 * one_way);
  });
}

TEST_P(CollectivesTest, TheFirstTextIsKnownToAll) {
  const int ranks = GetParam();
  ThreadTeam(ranks).run([&](Communicator& communicator) {
    EXPECT_EQ(first_text(communicator, ""), "");
    const int rank = communicator.rank();
    EXPECT_EQ(first_text(communicator, rank > 0 ? "rank " + std::to_string(rank) : ""), ranks > 1 ? "rank 1" : "");
    EXPECT_EQ(first_text(communicator, std::string(3000, 'x')), std::string(1023, 'x'));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, CollectivesTest, testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

}  // namespace
}  // namespace spikegpt::test
