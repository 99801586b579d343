// Beginnings of texts that were read before: many prompts share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "spikegpt/infer/session.h"

namespace spikegpt {

// Keeps states by the tokens that led to them, the least recently used leave first. For one model.
class PromptCache {
 public:
  // Keeps at most `max_bytes` of states and tokens.
  explicit PromptCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // Puts the session behind the longest known beginning of `tokens` that leaves at least one token to feed, or resets
  // it when none is known. Returns how many tokens need not be fed.
  std::int64_t restore(std::span<const std::int32_t> tokens, Session& session);

  // Keeps the state of a session that has read exactly `tokens`.
  void store(std::span<const std::int32_t> tokens, const Session& session);

  std::size_t entries() const noexcept { return entries_.size(); }
  std::size_t size_in_bytes() const noexcept { return bytes_; }

 private:
  struct Entry {
    std::vector<std::int32_t> tokens;
    SessionState state;
    std::size_t size_in_bytes() const { return tokens.size() * sizeof(std::int32_t) + state.memory.size_in_bytes(); }
  };

  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<Entry> entries_;  // the most recently used first
};

}  // namespace spikegpt
