// Where training windows come from; random and consecutive ones fit the same door.
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/data/token_stream.h"

namespace spikegpt {

// B windows of T tokens, in memory of the caller's.
struct WindowBatch {
  std::int64_t batch = 0;         // B
  std::int64_t tokens = 0;        // T
  std::span<TokenId> idx;         // [B, T] what the model reads
  std::span<TokenId> targets;     // [B, T] the token after each
  std::span<std::uint8_t> fresh;  // [B] 1 = state starts anew, 0 = continues; may be empty
};

// Windows as a pure function of (step, row), so that a resumed run sees what it would have seen and
// the split of a step into forward passes changes nothing. Thread-safe.
class WindowSource {
 public:
  virtual ~WindowSource() = default;
  // Fills rows [first_row, first_row + out.batch) of `step`. Makes no allocation.
  virtual void fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const = 0;
};

// One row of a batch: idx and targets [T] from the window that starts at `offset`.
void read_window(const TokenStream& tokens, std::int64_t offset, std::span<TokenId> idx, std::span<TokenId> targets);

// Throws Bug unless the spans of a batch have the sizes it states, with windows of `ctx_len`.
void check_batch(const WindowBatch& out, std::int64_t ctx_len);

}  // namespace spikegpt
