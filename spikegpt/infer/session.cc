#include "spikegpt/infer/session.h"

#include <algorithm>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kChunk = 256;  // tokens; longer chunks read no faster

std::unique_ptr<Network> network_for(const ModelConfig& config, const float* parameters,
                                     std::int64_t tokens) {
  NetworkOptions options;
  options.plan.tokens = tokens;
  auto network = make_network(config, options);
  network->set_parameters(parameters);
  return network;
}

}  // namespace

Session::Session(const ModelConfig& config, const float* parameters)
    : config_(config),
      step_(network_for(config, parameters, 1)),
      parameters_(parameters),
      state_(config, 1),
      logits_(static_cast<std::size_t>(config.vocab_size)),
      activity_(config) {}

// Runs the network over chunks; after_chunk(network, first token, count) may ask for logits.
template <class AfterChunk>
void Session::read(std::span<const std::int32_t> tokens, const AfterChunk& after_chunk) {
  ensure(!tokens.empty(), "nothing to read");
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > 1 && !prefill_) prefill_ = network_for(config_, parameters_, kChunk);
  RunOptions run;
  run.state_in = &state_;
  run.state_out = &state_;
  run.spike_counts = activity_.counts();
  for (std::int64_t first = 0; first < count; first += kChunk) {
    const std::int64_t size = std::min(kChunk, count - first);
    Network& network = size == 1 ? *step_ : *prefill_;
    network.forward({tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size))},
                    run);
    after_chunk(network, first, size);
  }
  tokens_read_ += count;
}

std::span<const float> Session::feed(std::span<const std::int32_t> tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  read(tokens, [&](Network& network, std::int64_t first, std::int64_t size) {
    if (first + size == count) network.logits(size - 1, 1, logits_.data());
  });
  return logits_;
}

std::vector<float> Session::feed_all(std::span<const std::int32_t> tokens) {
  std::vector<float> all(tokens.size() * static_cast<std::size_t>(config_.vocab_size));
  read(tokens, [&](Network& network, std::int64_t first, std::int64_t size) {
    network.logits(0, size, all.data() + first * config_.vocab_size);
  });
  return all;
}

void Session::reset() {
  state_.reset();
  tokens_read_ = 0;
  activity_.reset();
}

}  // namespace spikegpt
