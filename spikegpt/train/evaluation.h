// Loss on held-out text.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "spikegpt/data/token_stream.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/model/network.h"

namespace spikegpt {

struct EvaluationResult {
  std::int64_t tokens = 0;               // predicted
  double loss = 0.0;                     // nats per token
  Densities activity = {};               // all 0 without neurons
  std::vector<double> by_position = {};  // mean loss of each place in a window; only of windows that do not overlap
  std::vector<Densities> sites = {};     // of each of spike_sites(config)
  double bits() const;                   // per token
  double perplexity() const;
};

// (tokens done, tokens in all) after every pass; may be empty.
using EvaluationProgress = std::function<void(std::int64_t, std::int64_t)>;

struct EvaluationOptions {
  std::int64_t ctx_len = 0;     // tokens per window or chunk; at most what the network was planned for
  std::int64_t batch = 1;       // windows per pass
  std::int64_t max_tokens = 0;  // predicted from the start of the text; 0 = all
  std::int64_t stride = 0;      // evaluate_sliding: tokens from one window to the next, 1 to ctx_len
  EvaluationProgress progress;
};

// Over windows that do not overlap: every window starts without memory. Throws Error (kDiverged) when the loss
// is not finite.
EvaluationResult evaluate_windows(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options);

// Over windows of ctx_len tokens, one every `stride`: each token but the first is predicted once, behind at least
// ctx_len - stride others where the text has them. The first window counts as a whole, of the others the last `stride`
// tokens.
EvaluationResult evaluate_sliding(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options);

// Over the text from start to end with the state carried along. Throws as above.
EvaluationResult evaluate_carried(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options);

}  // namespace spikegpt
