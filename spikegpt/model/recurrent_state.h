// All that a sequence leaves behind for its next token (SPEC.md 10): O(1) in its length.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

// The state of B sequences. Copies are deep.
class RecurrentState {
 public:
  RecurrentState() = default;
  RecurrentState(const ModelConfig& config, std::int64_t batch);
  RecurrentState(const RecurrentState& other);
  RecurrentState& operator=(const RecurrentState& other);
  RecurrentState(RecurrentState&&) noexcept = default;
  RecurrentState& operator=(RecurrentState&&) noexcept = default;

  // Before the first token: everything zero, membranes at rest, attention empty.
  void reset();
  // The same for sequence b alone.
  void reset(std::int64_t b);
  // Sequence b becomes sequence `from_b` of a state of the same configuration, whatever its batch.
  void copy_sequence(std::int64_t b, const RecurrentState& from, std::int64_t from_b);

  std::int64_t batch() const noexcept { return batch_; }
  // Of a half of a block, [B, channels] each, in the order of its mixer's form.
  std::span<float* const> mixer(int layer, std::size_t half) const {
    return mixers_[static_cast<std::size_t>(layer)][half];
  }
  // [states, B, neurons] of a spike site, the potentials first.
  float* membrane(int site) const { return membranes_[static_cast<std::size_t>(site)]; }
  // The whole state, for saving.
  std::span<float> values() const noexcept { return values_.span(); }
  std::size_t size_in_bytes() const noexcept { return values_.size() * sizeof(float); }

  // Calls visitor(name, pointer, channels) for every part, [B, channels] each, in the order of values().
  template <class Visitor>
  void visit(Visitor&& visitor) const {
    for (const Part& part : parts_) visitor(part.name, part.values, part.channels);
  }

 private:
  struct Part {
    std::string name;
    float* values = nullptr;
    std::int64_t channels = 0;
    float rest = 0.0f;
  };
  void build(const ModelConfig& config, float* memory);

  ModelConfig config_;
  std::int64_t batch_ = 0;
  AlignedBuffer<float> values_;
  std::vector<Part> parts_;
  std::vector<std::vector<std::vector<float*>>> mixers_;  // [layer][half]
  std::vector<float*> membranes_;
};

}  // namespace spikegpt
