// Counter-based random numbers: the value at (seed, stream, counter) is a pure function of the three,
// so masks can be made again instead of stored, and a resumed run draws what it would have drawn.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace spikegpt {

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
struct Philox {
  std::uint32_t key0 = 0;
  std::uint32_t key1 = 0;

  std::array<std::uint32_t, 4> operator()(std::uint64_t counter, std::uint64_t stream) const noexcept {
    std::uint32_t c0 = static_cast<std::uint32_t>(counter);
    std::uint32_t c1 = static_cast<std::uint32_t>(counter >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(stream);
    std::uint32_t c3 = static_cast<std::uint32_t>(stream >> 32);
    std::uint32_t k0 = key0;
    std::uint32_t k1 = key1;
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c0;
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(product1);
      c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(product0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
  }
};

inline Philox philox_from_seed(std::uint64_t seed) noexcept {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

// What a stream of random numbers is for. Two purposes never share numbers.
enum class RandomPurpose : std::uint32_t { kInit = 1, kBatch = 2, kDropout = 3, kSampling = 4 };

// The stream that index i of a purpose draws from.
constexpr std::uint64_t stream_of(RandomPurpose purpose, std::uint64_t index) noexcept {
  return (static_cast<std::uint64_t>(purpose) << 48) ^ index;
}

// Fisher and Yates; std::shuffle may differ between libraries.
template <class T, class Generator>
void shuffle(std::vector<T>& values, Generator& generator) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[generator() % i]);
}

// A sequence of random numbers at (seed, purpose, index). Its whole state is these and a counter.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, RandomPurpose purpose, std::uint64_t index = 0)
      : philox_(philox_from_seed(seed)), stream_(stream_of(purpose, index)) {}

  std::uint64_t counter() const noexcept { return counter_; }
  void set_counter(std::uint64_t counter) noexcept { counter_ = counter; }

  std::uint64_t next_u64() noexcept {
    const auto block = philox_(counter_++, stream_);
    return (static_cast<std::uint64_t>(block[0]) << 32) | block[1];
  }
  // Uniform in [0, 1).
  double next_uniform() noexcept { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }
  // Uniform integer in [0, bound), bound > 0, without bias worth speaking of (2^-64 * bound).
  std::uint64_t next_below(std::uint64_t bound) noexcept {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next_u64()) * bound) >> 64);
  }
  // Standard normal (Box-Muller).
  double next_normal() noexcept;

 private:
  Philox philox_;
  std::uint64_t stream_;
  std::uint64_t counter_ = 0;
};

}  // namespace spikegpt
