// The window through which energy counts, traces and tests watch a model run. The model knows nothing of what
// they do with it.
#pragma once

#include <cstdint>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// What the neurons of one site did. Pointers are valid during the call only.
struct SpikeRecord {
  int site = 0;  // index into spike_sites(config)
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t neurons = 0;
  DType dtype = DType::kF32;       // of the four below: kF32 or kBf16
  const void* current = nullptr;   // [B, T, neurons] input current, before any gain
  const void* spikes = nullptr;    // [B, T, neurons]
  const void* distance = nullptr;  // [B, T, neurons] charged potential - threshold
  const void* kept = nullptr;      // [B, T, neurons] where a threshold that moves stands, of kinds that have one
};

// What a channel mix without spikes feeds its value projection: relu(k)^2, sparse but graded.
struct HiddenRecord {
  int index = 0;  // of Product::sparse in network_form(config).products
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t neurons = 0;
  DType dtype = DType::kF32;
  const void* values = nullptr;  // [B, T, neurons]
};

class Probe {
 public:
  virtual ~Probe() = default;
  virtual void on_spikes(const SpikeRecord& record) = 0;
  virtual void on_hidden(const HiddenRecord&) {}
};

}  // namespace spikegpt
