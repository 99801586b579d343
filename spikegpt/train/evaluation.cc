#include "spikegpt/train/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/data/evaluation_windows.h"
#include "spikegpt/data/window_source.h"

namespace spikegpt {
namespace {

// Sums over passes.
class Tally {
 public:
  explicit Tally(const ModelConfig& config) : activity_(config) {}

  std::span<SiteCount> spike_counts() { return activity_.counts(); }
  // The losses [B, T] of a pass, of which the last `scored` of each row count.
  void add(std::span<const float> losses, std::int64_t length, std::int64_t scored) {
    for (std::size_t row = 0; row < losses.size(); row += static_cast<std::size_t>(length)) {
      for (std::int64_t t = length - scored; t < length; ++t) {
        loss_ += static_cast<double>(losses[row + static_cast<std::size_t>(t)]);
        ++tokens_;
      }
    }
    tokens_run_ += static_cast<std::int64_t>(losses.size());
    if (!std::isfinite(loss_)) {
      throw Error(ErrorKind::kDiverged, "the loss of the first {} tokens of the text is not a finite number", tokens_);
    }
  }
  void add(std::span<const float> losses) {
    const auto size = static_cast<std::int64_t>(losses.size());
    add(losses, size, size);
  }
  void add_by_position(std::span<const float> losses, std::int64_t length) {
    if (std::ssize(positions_) < length) positions_.resize(static_cast<std::size_t>(length));
    for (std::size_t i = 0; i < losses.size(); ++i) {
      Place& place = positions_[i % static_cast<std::size_t>(length)];
      place.loss += static_cast<double>(losses[i]);
      ++place.tokens;
    }
  }
  std::int64_t tokens() const { return tokens_; }
  EvaluationResult result() const {
    EvaluationResult result = {tokens_, loss_ / static_cast<double>(tokens_), activity_.densities(tokens_run_)};
    result.sites = activity_.by_site(tokens_run_);
    for (const Place& place : positions_) result.by_position.push_back(place.loss / static_cast<double>(place.tokens));
    return result;
  }

 private:
  struct Place {
    double loss = 0.0;
    std::int64_t tokens = 0;
  };
  Activity activity_;
  double loss_ = 0.0;
  std::int64_t tokens_ = 0;
  std::int64_t tokens_run_ = 0;
  std::vector<Place> positions_;
};

}  // namespace

double EvaluationResult::bits() const { return loss / std::numbers::ln2; }
double EvaluationResult::perplexity() const { return std::exp(loss); }

EvaluationResult evaluate_windows(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options) {
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
    const std::span<const float> losses = network.losses(targets);
    tally.add(losses);
    tally.add_by_position(losses, group.length);
    if (options.progress) options.progress(tally.tokens(), windows.predictions());
  }
  return tally.result();
}

EvaluationResult evaluate_sliding(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options) {
  ensure(options.stride >= 1 && options.stride <= options.ctx_len, "windows that leave no token out");
  const std::int64_t count = count_predictions(*tokens, options.max_tokens);
  Tally tally(config);
  std::vector<TokenId> idx;
  std::vector<TokenId> targets;
  while (tally.tokens() < count) {
    const std::int64_t done = tally.tokens();
    const std::int64_t length = std::min(options.ctx_len, count);
    const std::int64_t scored = done == 0 ? length : std::min(options.stride, count - done);
    const std::int64_t batch =
        done == 0 ? 1 : std::clamp((count - done) / options.stride, std::int64_t{1}, options.batch);
    idx.resize(static_cast<std::size_t>(batch * length));
    targets.resize(idx.size());
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t end = done + scored + b * options.stride;
      const auto at = static_cast<std::size_t>(b * length);
      const auto size = static_cast<std::size_t>(length);
      read_window(*tokens, end - length, std::span(idx).subspan(at, size), std::span(targets).subspan(at, size));
    }
    RunOptions run;
    run.spike_counts = tally.spike_counts();
    network.forward({idx, batch}, run);
    tally.add(network.losses(targets), length, scored);
    if (options.progress) options.progress(tally.tokens(), count);
  }
  return tally.result();
}

EvaluationResult evaluate_carried(const ModelConfig& config, Network& network, const TokenStreamPtr& tokens,
                                  const EvaluationOptions& options) {
  const std::int64_t count = count_predictions(*tokens, options.max_tokens);
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
