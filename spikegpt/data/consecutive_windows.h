// Training windows one after the other, for truncated back-propagation with carried state.
#pragma once

#include "spikegpt/data/token_stream.h"
#include "spikegpt/data/window_source.h"

namespace spikegpt {

// `rows` readers walk the same stream, started at equal distances. Each continues where its last
// window ended and starts over at the end of the stream; what is left there, less than a window,
// is not read.
class ConsecutiveWindows final : public WindowSource {
 public:
  // `rows` is that of a whole step. Throws Error (kInvalidArgument) when the stream has fewer
  // than rows * ctx_len + 1 tokens: two readers would read the same.
  ConsecutiveWindows(TokenStreamPtr tokens, std::int64_t ctx_len, std::int64_t rows);

  // First token of the window of `row` at `step`.
  std::int64_t offset(std::int64_t step, std::int64_t row) const noexcept;
  // True at step 0 and where a reader has started over.
  bool fresh(std::int64_t step, std::int64_t row) const noexcept;
  void fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const override;

 private:
  std::int64_t window(std::int64_t step, std::int64_t row) const noexcept;

  TokenStreamPtr tokens_;
  std::int64_t ctx_len_;
  std::int64_t rows_;
  std::int64_t windows_;  // whole ones in the stream
};

}  // namespace spikegpt
