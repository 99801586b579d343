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

// Whole inputs of one sign, an even number of them: the last may be silent.
struct InputPairs {
  std::span<const std::int32_t> index;
  std::span<const std::uint8_t> size;  // their absolute values

  std::size_t count() const { return index.size() / 2; }
  // Pairs [begin, begin + count).
  InputPairs part(std::size_t begin, std::size_t count) const {
    return {index.subspan(2 * begin, 2 * count), size.subspan(2 * begin, 2 * count)};
  }
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
  InputPairs pairs(bool negative) const noexcept {
    const Signed& inputs = signed_[negative];
    return {{inputs.index.data(), inputs.count}, {inputs.size.data(), inputs.count}};
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
  struct Signed {
    AlignedBuffer<std::int32_t> index;
    AlignedBuffer<std::uint8_t> size;
    std::size_t count = 0;
  };
  std::array<Signed, 2> signed_;  // positive, negative
};

}  // namespace spikegpt
