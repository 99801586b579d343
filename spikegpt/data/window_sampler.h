// Training windows drawn at random (SPEC.md 9).
#pragma once

#include <vector>

#include "spikegpt/data/token_stream.h"
#include "spikegpt/data/window_source.h"

namespace spikegpt {

struct WeightedStream {
  TokenStreamPtr tokens;
  double weight = 1;  // share of windows, relative to the other streams'
};

class WindowSampler final : public WindowSource {
 public:
  // Windows of `ctx_len` tokens. Throws Error (kInvalidArgument) when a stream has fewer than
  // ctx_len + 1 tokens or a weight is not positive and finite.
  WindowSampler(TokenStreamPtr tokens, std::int64_t ctx_len, std::uint64_t seed);
  WindowSampler(std::vector<WeightedStream> streams, std::int64_t ctx_len, std::uint64_t seed);

  struct Place {
    std::size_t stream = 0;
    std::int64_t offset = 0;
  };
  // Where window `row` of `step` starts: a pure function of the seed and these.
  Place place(std::int64_t step, std::int64_t row) const noexcept;

  // Every row is fresh.
  void fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const override;

 private:
  std::vector<WeightedStream> streams_;
  std::vector<double> cumulative_;  // of the weights, scaled to end at 1
  std::int64_t ctx_len_;
  std::uint64_t seed_;
};

}  // namespace spikegpt
