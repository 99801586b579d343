// The shape all sequence kernels share.
#pragma once

#include <cstdint>

namespace spikegpt {

// B sequences of T tokens, C neurons each, laid out [B, T, C].
struct SequenceShape {
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t channels = 0;
  std::int64_t rows() const noexcept { return batch * tokens; }
  std::int64_t size() const noexcept { return batch * tokens * channels; }
};

}  // namespace spikegpt
