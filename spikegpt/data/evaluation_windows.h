// Held-out text cut into windows that do not overlap: every token but the first is predicted once.
#pragma once

#include <vector>

#include "spikegpt/data/token_stream.h"

namespace spikegpt {

// How many tokens of the stream are predicted: all but the first, at most `max_predictions` unless that is 0.
std::int64_t count_predictions(const TokenStream& tokens, std::int64_t max_predictions);

// Windows of one length that one forward pass can take.
struct WindowGroup {
  std::int64_t first = 0;   // token the first window starts at
  std::int64_t batch = 0;   // windows, B
  std::int64_t length = 0;  // tokens in each, T
};

class EvaluationWindows {
 public:
  // At most `max_predictions` tokens are predicted, from the start of the stream; 0 = all of them.
  // Throws Error (kInvalidArgument) for a stream of fewer than two tokens.
  EvaluationWindows(TokenStreamPtr tokens, std::int64_t ctx_len, std::int64_t max_predictions = 0);

  // Tokens predicted over all windows.
  std::int64_t predictions() const noexcept { return predictions_; }
  // All windows in order, `batch` at a time; a shorter last window is a group of its own.
  std::vector<WindowGroup> groups(std::int64_t batch) const;
  // idx and targets [batch, length] of a group.
  void fill(const WindowGroup& group, std::span<TokenId> idx, std::span<TokenId> targets) const;

 private:
  TokenStreamPtr tokens_;
  std::int64_t ctx_len_;
  std::int64_t predictions_;
};

}  // namespace spikegpt
