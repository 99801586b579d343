#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "spikegpt/data/consecutive_windows.h"
#include "spikegpt/data/evaluation_windows.h"
#include "spikegpt/data/token_stream.h"
#include "spikegpt/data/window_sampler.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

// Tokens first, first + 1, ...: a token tells where it was read.
TokenStreamPtr counting_stream(std::int64_t size, TokenId first = 0) {
  std::vector<TokenId> ids(static_cast<std::size_t>(size));
  std::iota(ids.begin(), ids.end(), first);
  return make_token_stream(ids, 1 << 20);
}

struct Batch {
  Batch(std::int64_t b, std::int64_t t)
      : idx(static_cast<std::size_t>(b * t), -1),
        targets(idx),
        fresh(static_cast<std::size_t>(b), 9),
        view{b, t, idx, targets, fresh} {}
  std::vector<TokenId> idx;
  std::vector<TokenId> targets;
  std::vector<std::uint8_t> fresh;
  WindowBatch view;
};

void expect_consecutive(const Batch& batch) {
  const auto length = static_cast<std::size_t>(batch.view.tokens);
  for (std::size_t i = 0; i < batch.idx.size(); ++i) {
    EXPECT_EQ(batch.targets[i], batch.idx[i] + 1);
    if (i % length != 0) {
      EXPECT_EQ(batch.idx[i], batch.idx[i - 1] + 1);
    }
  }
}

TEST(TokenStream, NarrowAndWideHoldTheSame) {
  for (const std::int64_t vocabulary : {65536, 65537}) {
    const std::vector<TokenId> ids = {0, 1, 65535, 7};
    const auto stream = make_token_stream(ids, vocabulary);
    ASSERT_EQ(stream->size(), 4);
    std::vector<TokenId> out(2);
    stream->read(2, out);
    EXPECT_EQ(out, (std::vector<TokenId>{65535, 7}));
  }
}

TEST(TokenStream, RefusesStrangersAndReadsOutside) {
  const std::vector<TokenId> ids = {0, 1, 5};
  expect_error(ErrorKind::kInvalidArgument, {"token 2", "5"}, [&] { make_token_stream(ids, 5); });
  EXPECT_THROW(make_token_stream(std::vector<TokenId>{-1}, 5), Error);
  const auto stream = make_token_stream(ids, 6);
  std::vector<TokenId> out(2);
  EXPECT_THROW(stream->read(2, out), Bug);
  EXPECT_THROW(stream->read(-1, out), Bug);
  EXPECT_THROW(stream->read(std::numeric_limits<std::int64_t>::max(), out), Bug);
  stream->read(3, std::span<TokenId>());
}

TEST(TokenStream, SlicesOfSlices) {
  const auto part = slice(slice(counting_stream(100), 10, 50), 5, 20);
  std::vector<TokenId> out(20);
  part->read(0, out);
  EXPECT_EQ(out.front(), 15);
  EXPECT_EQ(out.back(), 34);
  EXPECT_THROW(slice(part, 10, 11), Bug);
  EXPECT_THROW(part->read(1, out), Bug);
}

TEST(TokenStream, PartsBehindOneAnother) {
  const auto whole =
      concatenate({counting_stream(3), counting_stream(0), counting_stream(1, 3), counting_stream(6, 4)});
  ASSERT_EQ(whole->size(), 10);
  for (std::int64_t first = 0; first <= 10; ++first) {
    for (std::int64_t count = 0; first + count <= 10; ++count) {
      std::vector<TokenId> out(static_cast<std::size_t>(count));
      whole->read(first, out);
      for (std::size_t i = 0; i < out.size(); ++i) {
        EXPECT_EQ(out[i], first + static_cast<std::int64_t>(i));
      }
    }
  }
  std::vector<TokenId> out(2);
  EXPECT_THROW(whole->read(9, out), Bug);
}

TEST(WindowSampler, TargetsAreTheNextTokens) {
  const WindowSampler sampler(counting_stream(1000), 16, 1);
  Batch batch(4, 16);
  sampler.fill(0, 0, batch.view);
  expect_consecutive(batch);
  EXPECT_EQ(batch.fresh, (std::vector<std::uint8_t>{1, 1, 1, 1}));
}

TEST(WindowSampler, ReachesEveryWindowAndNothingBeyond) {
  const WindowSampler sampler(counting_stream(10), 4, 3);
  std::set<std::int64_t> seen;
  for (std::int64_t step = 0; step < 500; ++step) seen.insert(sampler.place(step, 0).offset);
  EXPECT_EQ(seen, (std::set<std::int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(WindowSampler, TheOnlyWindow) {
  const WindowSampler sampler(counting_stream(5), 4, 3);
  Batch batch(2, 4);
  sampler.fill(7, 3, batch.view);
  EXPECT_EQ(batch.idx, (std::vector<TokenId>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(WindowSampler, DependsOnSeedStepAndRowAlone) {
  const auto stream = counting_stream(100'000);
  const WindowSampler one(stream, 8, 42);
  const WindowSampler same(stream, 8, 42);
  const WindowSampler other(stream, 8, 43);
  Batch whole(6, 8);
  one.fill(5, 0, whole.view);
  Batch half(3, 8);
  same.fill(1000, 0, half.view);  // what came before must not matter
  same.fill(5, 3, half.view);
  EXPECT_TRUE(std::equal(half.idx.begin(), half.idx.end(), whole.idx.begin() + 24));
  Batch different(6, 8);
  other.fill(5, 0, different.view);
  EXPECT_NE(different.idx, whole.idx);
  one.fill(6, 0, different.view);
  EXPECT_NE(different.idx, whole.idx);
}

TEST(WindowSampler, OffsetsAreUniform) {
  const WindowSampler sampler(counting_stream(1016), 16, 9);
  constexpr int kDraws = 20'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = static_cast<double>(sampler.place(i / 8, i % 8).offset) / 1000;
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.4995, 4 * 0.2887 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.01);
}

TEST(WindowSampler, StreamsAreDrawnByWeight) {
  const WindowSampler sampler(
      {{counting_stream(100), 1}, {counting_stream(50, 1000), 3}, {counting_stream(20, 5000), 4}}, 8, 1);
  std::map<std::size_t, int> count;
  constexpr int kDraws = 16'000;
  for (int i = 0; i < kDraws; ++i) ++count[sampler.place(i, 0).stream];
  EXPECT_NEAR(count[0], kDraws / 8, 200);
  EXPECT_NEAR(count[1], 3 * kDraws / 8, 250);
  EXPECT_NEAR(count[2], kDraws / 2, 250);
  Batch batch(32, 8);
  sampler.fill(0, 0, batch.view);
  expect_consecutive(batch);
}

TEST(WindowSampler, RefusesShortStreamsAndOddWeights) {
  expect_error(ErrorKind::kInvalidArgument, {"8 tokens", "9"}, [] { WindowSampler(counting_stream(8), 8, 1); });
  for (const double weight : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(WindowSampler({{counting_stream(100), weight}}, 8, 1), Error);
  }
}

TEST(WindowSampler, RefusesBuffersOfAnotherSize) {
  const WindowSampler sampler(counting_stream(100), 8, 1);
  Batch batch(2, 7);
  EXPECT_THROW(sampler.fill(0, 0, batch.view), Bug);
}

TEST(ConsecutiveWindows, EachReaderContinuesAndStartsOver) {
  // 9 windows of 4 in 39 tokens; readers start at windows 0, 3 and 6.
  const ConsecutiveWindows windows(counting_stream(39), 4, 3);
  std::vector<std::int64_t> last(3, -1);
  std::map<TokenId, int> starts;
  for (std::int64_t step = 0; step < 9; ++step) {
    Batch batch(3, 4);
    windows.fill(step, 0, batch.view);
    expect_consecutive(batch);
    for (std::size_t row = 0; row < 3; ++row) {
      const TokenId start = batch.idx[row * 4];
      ++starts[start];
      const bool anew = step == 0 || start == 0;
      EXPECT_EQ(batch.fresh[row], anew ? 1 : 0);
      if (!anew) {
        EXPECT_EQ(start, last[row] + 1);
      }
      last[row] = batch.idx[row * 4 + 3];
    }
  }
  EXPECT_EQ(starts.size(), 9u);  // every window, as often as every other
  for (const auto& [start, count] : starts) EXPECT_EQ(count, 3) << start;
}

TEST(ConsecutiveWindows, RowsMayBeReadInParts) {
  const ConsecutiveWindows windows(counting_stream(1000), 4, 4);
  Batch whole(4, 4);
  windows.fill(123, 0, whole.view);
  Batch half(2, 4);
  windows.fill(123, 2, half.view);
  EXPECT_TRUE(std::equal(half.idx.begin(), half.idx.end(), whole.idx.begin() + 8));
  EXPECT_THROW(windows.fill(0, 3, half.view), Bug);
}

TEST(ConsecutiveWindows, NeedsAWindowForEveryReader) {
  EXPECT_EQ(ConsecutiveWindows(counting_stream(13), 4, 3).offset(0, 2), 8);
  expect_error(ErrorKind::kInvalidArgument, {"3 readers", "13", "12"},
               [] { ConsecutiveWindows(counting_stream(12), 4, 3); });
}

// All predictions in order, with the windows' lengths.
std::vector<TokenId> predictions(const EvaluationWindows& windows, std::int64_t batch) {
  std::vector<TokenId> all;
  for (const WindowGroup& group : windows.groups(batch)) {
    EXPECT_LE(group.batch, batch);
    std::vector<TokenId> idx(static_cast<std::size_t>(group.batch * group.length));
    std::vector<TokenId> targets(idx.size());
    windows.fill(group, idx, targets);
    for (std::size_t i = 0; i < idx.size(); ++i) EXPECT_EQ(targets[i], idx[i] + 1);
    all.insert(all.end(), targets.begin(), targets.end());
  }
  return all;
}

TEST(EvaluationWindows, EveryTokenIsPredictedOnce) {
  for (std::int64_t size = 2; size < 40; ++size) {
    for (const std::int64_t ctx_len : {1, 4, 7, 100}) {
      for (const std::int64_t batch : {1, 3}) {
        const EvaluationWindows windows(counting_stream(size), ctx_len);
        EXPECT_EQ(windows.predictions(), size - 1);
        std::vector<TokenId> expected(static_cast<std::size_t>(size - 1));
        std::iota(expected.begin(), expected.end(), 1);
        EXPECT_EQ(predictions(windows, batch), expected);
      }
    }
  }
}

TEST(EvaluationWindows, StopsWhereAsked) {
  const EvaluationWindows windows(counting_stream(100), 8, 20);
  const auto groups = windows.groups(4);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].batch, 2);
  EXPECT_EQ(groups[1].length, 4);
  EXPECT_EQ(predictions(windows, 4).back(), 20);
  EXPECT_EQ(EvaluationWindows(counting_stream(5), 8, 20).predictions(), 4);
  expect_error(ErrorKind::kInvalidArgument, {"at least 2"}, [] { EvaluationWindows(counting_stream(1), 8); });
}

}  // namespace
}  // namespace spikegpt
