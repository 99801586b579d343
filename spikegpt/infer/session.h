// A model reading one text: the recurrent form of the network (SPEC.md 10).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spikegpt/model/activity.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/recurrent_state.h"

namespace spikegpt {

// Time and memory per token do not depend on how much was read before. Feeding tokens one by one, in chunks or
// all at once gives the same logits.
class Session {
 public:
  // `parameters` is laid out by ParameterLayout(config) and must outlive the session.
  Session(const ModelConfig& config, const float* parameters);

  // Reads tokens and returns the logits [V] for the token that follows. Valid until the next call. Throws Error
  // (kInvalidArgument) for a token outside the vocabulary. `tokens` must not be empty.
  std::span<const float> feed(std::span<const std::int32_t> tokens);

  // The same with the logits of every position, [tokens, V].
  std::vector<float> feed_all(std::span<const std::int32_t> tokens);

  // Back to before the first token.
  void reset();

  RecurrentState& state() noexcept { return state_; }
  std::int64_t tokens_read() const noexcept { return tokens_read_; }
  // Mean share of neurons that fired per token so far; 0 for a model without neurons.
  double firing_rate() const { return activity_.firing_rate(tokens_read_); }

 private:
  template <class AfterChunk>
  void read(std::span<const std::int32_t> tokens, const AfterChunk& after_chunk);

  ModelConfig config_;
  std::unique_ptr<Network> step_;     // one token
  std::unique_ptr<Network> prefill_;  // a chunk; made when first needed
  const float* parameters_;
  RecurrentState state_;
  std::vector<float> logits_;
  Activity activity_;
  std::int64_t tokens_read_ = 0;
};

}  // namespace spikegpt
