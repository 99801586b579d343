#include "spikegpt/data/evaluation_windows.h"

#include <algorithm>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/data/window_source.h"

namespace spikegpt {

std::int64_t count_predictions(const TokenStream& tokens, std::int64_t max_predictions) {
  const std::int64_t all = tokens.size() - 1;
  return max_predictions > 0 ? std::min(all, max_predictions) : all;
}

EvaluationWindows::EvaluationWindows(TokenStreamPtr tokens, std::int64_t ctx_len, std::int64_t max_predictions)
    : tokens_(std::move(tokens)), ctx_len_(ctx_len), predictions_(count_predictions(*tokens_, max_predictions)) {
  ensure(ctx_len > 0 && max_predictions >= 0, "windows have a length");
  if (predictions_ < 1) {
    throw Error(ErrorKind::kInvalidArgument,
                "the text to evaluate on has {} tokens; it needs at least 2, one to read and one to "
                "predict",
                tokens_->size());
  }
}

std::vector<WindowGroup> EvaluationWindows::groups(std::int64_t batch) const {
  ensure(batch > 0, "a group holds windows");
  const std::int64_t whole = predictions_ / ctx_len_;
  std::vector<WindowGroup> groups;
  for (std::int64_t window = 0; window < whole; window += batch) {
    groups.push_back({window * ctx_len_, std::min(batch, whole - window), ctx_len_});
  }
  const std::int64_t rest = predictions_ % ctx_len_;
  if (rest > 0) groups.push_back({whole * ctx_len_, 1, rest});
  return groups;
}

void EvaluationWindows::fill(const WindowGroup& group, std::span<TokenId> idx, std::span<TokenId> targets) const {
  ensure(static_cast<std::int64_t>(idx.size()) == group.batch * group.length && idx.size() == targets.size(),
         "idx and targets have the size of the group");
  // Windows lie one behind the other, so a group is one piece of the stream.
  read_window(*tokens_, group.first, idx, targets);
}

}  // namespace spikegpt
