#include "spikegpt/kernels/spike_encode.h"

#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"
#include "spikegpt/neurons/heaviside.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kTokensPerTask = 64;

void encode_row(const EmbeddingMode& mode, std::int64_t channels, const float* weight, float* x) {
  if (!mode.binary) {
    std::copy(weight, weight + channels, x);
  } else if (mode.fire == FireMode::kSpike) {
    for (std::int64_t c = 0; c < channels; ++c) x[c] = heaviside(weight[c]);
  } else {
    with_surrogate(mode.surrogate, [&](const auto& formulas) {
      for (std::int64_t c = 0; c < channels; ++c) x[c] = formulas.primitive(weight[c]);
    });
  }
}

void add_row_gradient(const EmbeddingMode& mode, const Piece& lanes, const float* weight, const float* d_x,
                      float* d_weight) {
  const std::int64_t end = lanes.first + lanes.size;
  if (!mode.binary) {
    for (std::int64_t c = lanes.first; c < end; ++c) d_weight[c] += d_x[c];
    return;
  }
  with_surrogate(mode.surrogate, [&](const auto& formulas) {
    for (std::int64_t c = lanes.first; c < end; ++c) {
      d_weight[c] += d_x[c] * formulas.gradient(weight[c]);
    }
  });
}

}  // namespace

void embedding_forward(std::span<const std::int32_t> tokens, std::int64_t channels, const EmbeddingMode& mode,
                       const float* weight, float* x) noexcept {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const KernelTimer timer({.name = "embedding forward", .bytes = bytes_of<float>(count * channels, 0, 2)});
  parallel_for(piece_count(count, kTokensPerTask), [&](std::int64_t task) {
    const Piece piece = piece_at(count, task, kTokensPerTask);
    for (std::int64_t i = piece.first; i < piece.first + piece.size; ++i) {
      const std::int64_t token = tokens[static_cast<std::size_t>(i)];
      encode_row(mode, channels, weight + token * channels, x + i * channels);
    }
  });
}

// Tasks are blocks of channels, so that tokens that occur twice are added in the order of the text.
void embedding_backward(std::span<const std::int32_t> tokens, std::int64_t channels, const EmbeddingMode& mode,
                        const EmbeddingBackward& embedding) noexcept {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const KernelTimer timer({.name = "embedding backward", .bytes = bytes_of<float>(count * channels, 0, 4)});
  parallel_for(piece_count(channels, kTileLanes), [&](std::int64_t task) {
    const Piece lanes = piece_at(channels, task, kTileLanes);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = tokens[static_cast<std::size_t>(i)] * channels;
      add_row_gradient(mode, lanes, embedding.weight + row, embedding.d_x + i * channels, embedding.d_weight + row);
    }
  });
}

}  // namespace spikegpt
