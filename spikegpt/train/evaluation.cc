#include "spikegpt/train/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/data/evaluation_windows.h"
#include "spikegpt/model/activity.h"

namespace spikegpt {
namespace {

// Sums over passes.
class Tally {
 public:
  explicit Tally(const ModelConfig& config) : activity_(config) {}

  std::span<std::int64_t> spike_counts() { return activity_.counts(); }
  void add(std::span<const float> losses) {
    for (const float loss : losses) loss_ += static_cast<double>(loss);
    tokens_ += static_cast<std::int64_t>(losses.size());
    if (!std::isfinite(loss_)) {
      throw Error(ErrorKind::kDiverged, "the loss of the first {} tokens of the text is not a finite number",
                  tokens_);
    }
  }
  std::int64_t tokens() const { return tokens_; }
  EvaluationResult result() const {
    return {tokens_, loss_ / static_cast<double>(tokens_), activity_.firing_rate(tokens_)};
  }

 private:
  Activity activity_;
  double loss_ = 0.0;
  std::int64_t tokens_ = 0;
};

}  // namespace

double EvaluationResult::bits() const { return loss / std::numbers::ln2; }
double EvaluationResult::perplexity() const { return std::exp(loss); }

EvaluationResult evaluate_windows(const ModelConfig& config, Network& network,
                                  const TokenStreamPtr& tokens, const EvaluationOptions& options) {
  const EvaluationWindows windows(tokens, options.ctx_len, options.max_tokens);
  Tally tally(config);
  std::vector<TokenId> idx;
  std::vector<TokenId> targets;
  for (const WindowGroup& group : windows.groups(options.batch)) {
    idx.resize(static_cast<std::size_t>(group.batch * group.length));
    targets.resize(idx.size());
    windows.fill(group, idx, targets);
    RunOptions run;
    run.spike_counts = tally.spike_counts();
    network.forward({idx, group.batch}, run);
    tally.add(network.losses(targets));
    if (options.progress) options.progress(tally.tokens(), windows.predictions());
  }
  return tally.result();
}

EvaluationResult evaluate_carried(const ModelConfig& config, Network& network,
                                  const TokenStreamPtr& tokens, const EvaluationOptions& options) {
  const std::int64_t all = tokens->size() - 1;
  const std::int64_t count = options.max_tokens > 0 ? std::min(all, options.max_tokens) : all;
  RecurrentState state(config, 1);
  Tally tally(config);
  RunOptions run;
  run.state_in = &state;
  run.state_out = &state;
  run.spike_counts = tally.spike_counts();
  std::vector<TokenId> chunk;
  for (std::int64_t first = 0; first < count; first += options.ctx_len) {
    const std::int64_t size = std::min(options.ctx_len, count - first);
    chunk.resize(static_cast<std::size_t>(size + 1));
    tokens->read(first, chunk);
    const std::span<const TokenId> whole(chunk);
    network.forward({whole.first(static_cast<std::size_t>(size))}, run);
    tally.add(network.losses(whole.subspan(1)));
    if (options.progress) options.progress(tally.tokens(), count);
  }
  return tally.result();
}

}  // namespace spikegpt
