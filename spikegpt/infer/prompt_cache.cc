#include "spikegpt/infer/prompt_cache.h"

#include <algorithm>

#include "spikegpt/core/error.h"

namespace spikegpt {

std::int64_t PromptCache::restore(std::span<const std::int32_t> tokens, Session& session) {
  auto best = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const std::size_t size = entry->tokens.size();
    if (size >= tokens.size() || (best != entries_.end() && size <= best->tokens.size())) continue;
    if (std::equal(entry->tokens.begin(), entry->tokens.end(), tokens.begin())) best = entry;
  }
  session.reset();
  if (best == entries_.end()) return 0;
  entries_.splice(entries_.begin(), entries_, best);
  session.set_state(best->state);
  return static_cast<std::int64_t>(best->tokens.size());
}

void PromptCache::store(std::span<const std::int32_t> tokens, const Session& session) {
  ensure(session.tokens_read() == static_cast<std::int64_t>(tokens.size()), "a session that has read other tokens");
  const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return std::equal(entry.tokens.begin(), entry.tokens.end(), tokens.begin(), tokens.end());
  });
  if (known != entries_.end()) return entries_.splice(entries_.begin(), entries_, known);
  entries_.push_front({{tokens.begin(), tokens.end()}, session.state()});
  bytes_ += entries_.front().size_in_bytes();
  while (bytes_ > max_bytes_ && !entries_.empty()) {
    bytes_ -= entries_.back().size_in_bytes();
    entries_.pop_back();
  }
}

}  // namespace spikegpt
