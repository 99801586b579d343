// The matrix products of a network, and its work beside them, per token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/energy/operations.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

// What a product reads.
enum class InputKind : std::uint8_t {
  kDense,
  kSpikes,         // one token's events
  kShiftedSpikes,  // those of this token and of the one before: the token shift is folded into the weights
  kSparse,         // relu(k)^2: multiplied where it is not zero
};

struct Product {
  std::string name;  // as the weight is called
  int layer = 0;     // n_layer for the head
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  InputKind kind = InputKind::kDense;
  int site = -1;        // spikes: index into spike_sites(config)
  int hidden = -1;      // kSparse: 2 * layer, + 1 for the channel mix behind an ffnPre
  int paper_site = -1;  // whose rate the paper's accounting takes; -1 = the mean of all
};

std::vector<Product> products_of(const ModelConfig& config);

// Element-wise work of a layer per token: norms, token shift, attention, gates, neurons, residual; layer n_layer is the
// last norm, and what comes before layer 0 counts to it.
Operations elementwise_of(const ModelConfig& config, int layer);

// The network without neurons of the same size.
ModelConfig twin_of(const ModelConfig& config);

// Multiply-accumulates per token of a Transformer of the same depth, width and vocabulary that has `context` tokens
// before it: L (12 C^2 + 2 context C) + V C.
std::int64_t transformer_macs(const ModelConfig& config, std::int64_t context);

}  // namespace spikegpt
