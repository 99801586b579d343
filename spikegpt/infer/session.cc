#include "spikegpt/infer/session.h"

#include <algorithm>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

void check_shape(const SessionState& state, const RecurrentState& own) {
  const std::size_t expected = own.size_in_bytes() / static_cast<std::size_t>(own.batch());
  if (state.memory.batch() == 1 && state.memory.size_in_bytes() == expected) return;
  throw Error(ErrorKind::kInvalidArgument, "a state of {} bytes does not fit a model whose state has {}",
              state.memory.size_in_bytes(), expected);
}

}  // namespace

Session::Session(const PackedModel& model, std::int64_t chunk)
    : model_(&model),
      chunk_(chunk),
      runner_(std::make_unique<PackedRunner>(make_runner(model.config()))),
      network_(make_packed_network(model, {.batch = 1, .tokens = chunk}, *runner_)),
      state_{RecurrentState(model.config(), 1)},
      logits_(static_cast<std::size_t>(model.config().vocab_size)),
      activity_(model.config()) {}

// Runs the network over chunks; after_chunk(first token, count) may ask it for logits.
template <class AfterChunk>
void Session::read(std::span<const std::int32_t> tokens, const AfterChunk& after_chunk) {
  ensure(!tokens.empty(), "nothing to read");
  check_tokens(tokens, model_->config());
  const auto count = static_cast<std::int64_t>(tokens.size());
  RunOptions run;
  run.state_in = &state_.memory;
  run.state_out = &state_.memory;
  run.spike_counts = activity_.counts();
  for (std::int64_t first = 0; first < count; first += chunk_) {
    const std::int64_t size = std::min(chunk_, count - first);
    network_->forward({tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size))}, run);
    after_chunk(first, size);
  }
  state_.tokens_read += count;
  tokens_counted_ += count;
}

std::span<const float> Session::feed(std::span<const std::int32_t> tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  read(tokens, [&](std::int64_t first, std::int64_t size) {
    if (first + size == count) network_->logits(size - 1, 1, logits_.data());
  });
  return logits_;
}

std::vector<float> Session::feed_all(std::span<const std::int32_t> tokens) {
  const std::int64_t V = model_->config().vocab_size;
  std::vector<float> all(tokens.size() * static_cast<std::size_t>(V));
  read(tokens, [&](std::int64_t first, std::int64_t size) { network_->logits(0, size, all.data() + first * V); });
  return all;
}

void Session::reset() {
  state_.memory.reset();
  state_.tokens_read = 0;
  activity_.reset();
  tokens_counted_ = 0;
}

void Session::set_state(const SessionState& state) {
  check_shape(state, state_.memory);
  state_.memory.copy_sequence(0, state.memory, 0);
  state_.tokens_read = state.tokens_read;
}

SessionBatch::SessionBatch(const PackedModel& model, std::int64_t slots)
    : model_(&model),
      runner_(std::make_unique<PackedRunner>(make_runner(model.config()))),
      network_(make_packed_network(model, {.batch = slots, .tokens = 1}, *runner_)),
      memory_(model.config(), slots),
      tokens_read_(static_cast<std::size_t>(slots)),
      logits_(static_cast<std::size_t>(slots * model.config().vocab_size)) {}

std::span<const float> SessionBatch::step(std::span<const std::int32_t> tokens) {
  ensure(static_cast<std::int64_t>(tokens.size()) == slots(), "not one token per slot");
  check_tokens(tokens, model_->config());
  RunOptions run;
  run.state_in = &memory_;
  run.state_out = &memory_;
  network_->forward({tokens, slots()}, run);
  network_->logits(0, slots(), logits_.data());
  for (std::int64_t& count : tokens_read_) ++count;
  return logits_;
}

void SessionBatch::set_state(std::int64_t slot, const SessionState& state) {
  ensure(slot >= 0 && slot < slots(), "no such slot");
  check_shape(state, memory_);
  memory_.copy_sequence(slot, state.memory, 0);
  tokens_read_[static_cast<std::size_t>(slot)] = state.tokens_read;
}

SessionState SessionBatch::state(std::int64_t slot) const {
  ensure(slot >= 0 && slot < slots(), "no such slot");
  SessionState state{RecurrentState(model_->config(), 1), tokens_read_[static_cast<std::size_t>(slot)]};
  state.memory.copy_sequence(0, memory_, slot);
  return state;
}

}  // namespace spikegpt
