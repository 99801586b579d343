#include "spikegpt/data/consecutive_windows.h"

#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {

ConsecutiveWindows::ConsecutiveWindows(TokenStreamPtr tokens, std::int64_t ctx_len, std::int64_t rows)
    : tokens_(std::move(tokens)), ctx_len_(ctx_len), rows_(rows), windows_((tokens_->size() - 1) / ctx_len) {
  ensure(ctx_len > 0 && rows > 0, "windows have a length and a number");
  if (windows_ < rows) {
    throw Error(ErrorKind::kInvalidArgument,
                "{} readers of consecutive windows of ctx_len = {} need {} tokens, the text has {}: "
                "use more text, a smaller batch, or a smaller ctx_len",
                rows, ctx_len, rows * ctx_len + 1, tokens_->size());
  }
}

std::int64_t ConsecutiveWindows::window(std::int64_t step, std::int64_t row) const noexcept {
  const std::int64_t start = row * (windows_ / rows_);
  return (start + step % windows_) % windows_;
}

std::int64_t ConsecutiveWindows::offset(std::int64_t step, std::int64_t row) const noexcept {
  return window(step, row) * ctx_len_;
}

bool ConsecutiveWindows::fresh(std::int64_t step, std::int64_t row) const noexcept {
  return step == 0 || window(step, row) == 0;
}

void ConsecutiveWindows::fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const {
  check_batch(out, ctx_len_);
  ensure(first_row >= 0 && first_row + out.batch <= rows_, "rows are those of one step");
  const auto length = static_cast<std::size_t>(ctx_len_);
  for (std::int64_t row = 0; row < out.batch; ++row) {
    const std::size_t at = static_cast<std::size_t>(row) * length;
    read_window(*tokens_, offset(step, first_row + row), out.idx.subspan(at, length), out.targets.subspan(at, length));
    if (!out.fresh.empty()) {
      out.fresh[static_cast<std::size_t>(row)] = fresh(step, first_row + row) ? 1 : 0;
    }
  }
}

}  // namespace spikegpt
