// Which inputs of a product are not silent.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "spikegpt/core/aligned_buffer.h"

namespace spikegpt {

// What the inputs that are not zero are.
enum class ActivityKind : std::uint8_t {
  kSpikes,  // all 1: rows are added
  kCounts,  // whole numbers from -127 to 127, such as signed or repeated spikes
  kGraded,  // anything else: rows are multiplied
};

// Two whole inputs of one sign. The second may be silent.
struct InputPair {
  std::int32_t first = 0;
  std::int32_t second = 0;
  std::uint16_t sizes = 0;  // the first's in the low byte, the second's in the high one
};

// The inputs that are not zero, in order. Reused from token to token; allocates only when made.
class ActiveInputs {
 public:
  ActiveInputs() = default;
  explicit ActiveInputs(std::int64_t inputs);

  // Takes the inputs x [n]; n is at most what the list was made for.
  void find(std::int64_t n, const float* x) noexcept;

  // Makes pairs() of whole inputs.
  void pair_up() noexcept;
  std::span<const InputPair> pairs(bool negative) const noexcept {
    return {pairs_[negative].data(), pair_counts_[negative]};
  }

  std::int64_t count() const noexcept { return count_; }
  // Spikes, repeated and negative ones counted each; of whole inputs only.
  std::int64_t events() const noexcept { return events_; }
  ActivityKind kind() const noexcept { return kind_; }
  const std::int32_t* index() const noexcept { return index_.data(); }
  const float* coefficient() const noexcept { return coefficient_.data(); }

 private:
  std::int64_t count_ = 0;
  std::int64_t events_ = 0;
  ActivityKind kind_ = ActivityKind::kSpikes;
  AlignedBuffer<std::int32_t> index_;
  AlignedBuffer<float> coefficient_;
  std::array<AlignedBuffer<InputPair>, 2> pairs_;  // positive, negative
  std::array<std::size_t, 2> pair_counts_ = {};
};

}  // namespace spikegpt
