#include "spikegpt/data/window_sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/core/random.h"

namespace spikegpt {
namespace {

constexpr std::uint64_t kDrawsPerWindow = 2;  // the stream, then the offset in it

std::vector<double> cumulative_shares(const std::vector<WeightedStream>& streams) {
  double total = 0;
  for (const WeightedStream& stream : streams) total += stream.weight;
  std::vector<double> cumulative;
  double sum = 0;
  for (const WeightedStream& stream : streams) cumulative.push_back((sum += stream.weight) / total);
  return cumulative;
}

}  // namespace

WindowSampler::WindowSampler(TokenStreamPtr tokens, std::int64_t ctx_len, std::uint64_t seed)
    : WindowSampler(std::vector<WeightedStream>{{std::move(tokens), 1.0}}, ctx_len, seed) {}

WindowSampler::WindowSampler(std::vector<WeightedStream> streams, std::int64_t ctx_len, std::uint64_t seed)
    : streams_(std::move(streams)), ctx_len_(ctx_len), seed_(seed) {
  ensure(!streams_.empty() && ctx_len > 0, "there is something to sample windows from");
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const auto& [tokens, weight] = streams_[i];
    if (tokens->size() <= ctx_len) {
      throw Error(ErrorKind::kInvalidArgument,
                  "training source {} has {} tokens; a window of ctx_len = {} and the token after it "
                  "need {}: use more text or a smaller ctx_len",
                  i, tokens->size(), ctx_len, ctx_len + 1);
    }
    if (!(weight > 0) || weight > 1e15) {
      throw Error(ErrorKind::kInvalidArgument, "training source {} has the weight {}; expected a positive number", i,
                  weight);
    }
  }
  cumulative_ = cumulative_shares(streams_);
}

WindowSampler::Place WindowSampler::place(std::int64_t step, std::int64_t row) const noexcept {
  RandomStream random(seed_, RandomPurpose::kBatch, static_cast<std::uint64_t>(step));
  random.set_counter(static_cast<std::uint64_t>(row) * kDrawsPerWindow);
  const double share = random.next_uniform();
  const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, share);
  const auto stream = static_cast<std::size_t>(found - cumulative_.begin());
  const auto windows = static_cast<std::uint64_t>(streams_[stream].tokens->size() - ctx_len_);
  return {stream, static_cast<std::int64_t>(random.next_below(windows))};
}

void WindowSampler::fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const {
  check_batch(out, ctx_len_);
  const auto length = static_cast<std::size_t>(ctx_len_);
  for (std::int64_t row = 0; row < out.batch; ++row) {
    const Place start = place(step, first_row + row);
    const std::size_t at = static_cast<std::size_t>(row) * length;
    read_window(*streams_[start.stream].tokens, start.offset, out.idx.subspan(at, length),
                out.targets.subspan(at, length));
  }
  std::fill(out.fresh.begin(), out.fresh.end(), std::uint8_t{1});
}

}  // namespace spikegpt
