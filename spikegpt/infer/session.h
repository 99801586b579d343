// A model reading texts: the recurrent form of the network (SPEC.md 10).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spikegpt/model/activity.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/recurrent_state.h"

namespace spikegpt {

// Where a session stands in its text: all that the next token depends on. Copies are deep.
struct SessionState {
  RecurrentState memory;  // of one sequence
  std::int64_t tokens_read = 0;
};

// One text being read. Time and memory per token do not depend on how much was read before. Feeding tokens one by
// one, in chunks, or as one text of a batch gives the same logits and the same state, bit for bit.
class Session {
 public:
  // `model` must outlive the session. Chunks of the prompt are read `chunk` tokens at a time: memory against speed.
  explicit Session(const PackedModel& model, std::int64_t chunk = 256);

  // Reads tokens and returns the logits [V] for the token that follows. Valid until the next call. Throws Error
  // (kInvalidArgument) for a token outside the vocabulary, before any is read. `tokens` must not be empty.
  std::span<const float> feed(std::span<const std::int32_t> tokens);

  // The same with the logits of every position, [tokens, V].
  std::vector<float> feed_all(std::span<const std::int32_t> tokens);

  // Back to before the first token.
  void reset();

  const SessionState& state() const noexcept { return state_; }
  // Goes on from there. Throws Error (kInvalidArgument) for the state of a model of another shape.
  void set_state(const SessionState& state);

  std::int64_t tokens_read() const noexcept { return state_.tokens_read; }
  // Mean share of neurons that fired per token since the session was made or reset; 0 without neurons.
  double firing_rate() const { return activity_.densities(tokens_counted_).firing_rate; }
  // What its products did and how they are run.
  PackedRunner& runner() noexcept { return *runner_; }

 private:
  template <class AfterChunk>
  void read(std::span<const std::int32_t> tokens, const AfterChunk& after_chunk);

  const PackedModel* model_;
  std::int64_t chunk_;
  std::unique_ptr<PackedRunner> runner_;
  std::unique_ptr<Network> network_;
  SessionState state_;
  std::vector<float> logits_;
  Activity activity_;
  std::int64_t tokens_counted_ = 0;
};

// Several texts read together, one token each at a time: the weights are fetched once for all. Slots are independent;
// a text may enter or leave one at any step.
class SessionBatch {
 public:
  SessionBatch(const PackedModel& model, std::int64_t slots);

  // Reads tokens[slot] into every slot and returns logits [slots, V]. Valid until the next call.
  std::span<const float> step(std::span<const std::int32_t> tokens);

  std::int64_t slots() const noexcept { return memory_.batch(); }
  void set_state(std::int64_t slot, const SessionState& state);
  SessionState state(std::int64_t slot) const;
  PackedRunner& runner() noexcept { return *runner_; }

 private:
  const PackedModel* model_;
  std::unique_ptr<PackedRunner> runner_;
  std::unique_ptr<Network> network_;
  RecurrentState memory_;
  std::vector<std::int64_t> tokens_read_;
  std::vector<float> logits_;
};

}  // namespace spikegpt
