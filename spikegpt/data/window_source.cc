#include "spikegpt/data/window_source.h"

#include "spikegpt/core/error.h"

namespace spikegpt {

void read_window(const TokenStream& tokens, std::int64_t offset, std::span<TokenId> idx, std::span<TokenId> targets) {
  tokens.read(offset, idx);
  tokens.read(offset + 1, targets);
}

void check_batch(const WindowBatch& out, std::int64_t ctx_len) {
  const auto rows = static_cast<std::size_t>(out.batch);
  const auto cells = rows * static_cast<std::size_t>(out.tokens);
  ensure(out.tokens == ctx_len && out.idx.size() == cells && out.targets.size() == cells &&
             (out.fresh.empty() || out.fresh.size() == rows),
         "the spans of a window batch have the sizes it states");
}

}  // namespace spikegpt
