// Loss on held-out text.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "spikegpt/data/token_stream.h"
#include "spikegpt/model/network.h"

namespace spikegpt {

struct EvaluationResult {
  std::int64_t tokens = 0;   // predicted
  double loss = 0.0;         // nats per token
  double firing_rate = 0.0;  // mean share of neurons that fire per token; 0 without neurons
  double bits() const;       // per token
  double perplexity() const;
};

// (tokens done, tokens in all) after every pass; may be empty.
using EvaluationProgress = std::function<void(std::int64_t, std::int64_t)>;

struct EvaluationOptions {
  std::int64_t ctx_len = 0;     // tokens per window or chunk; at most what the network was planned for
  std::int64_t batch = 1;       // windows per pass
  std::int64_t max_tokens = 0;  // predicted from the start of the text; 0 = all
  EvaluationProgress progress;
};

// Over windows that do not overlap: every window starts without memory. Throws Error (kDiverged) when the loss
// is not finite.
EvaluationResult evaluate_windows(const ModelConfig& config, Network& network,
                                  const TokenStreamPtr& tokens, const EvaluationOptions& options);

// Over the text from start to end with the state carried along. Throws as above.
EvaluationResult evaluate_carried(const ModelConfig& config, Network& network,
                                  const TokenStreamPtr& tokens, const EvaluationOptions& options);

}  // namespace spikegpt
