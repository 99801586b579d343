// What the tests of the kernels share: memory with guards at awkward addresses, the sizes to try,
// and the demand that every instruction set and every number of threads give the same bits.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/dtype.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/shape.h"
#include "spikegpt/kernels/simd.h"

namespace spikegpt::test {

// `count` values of T that start `shift` values after an aligned address, between guards. All bits
// of new values are set: NaN for the number formats, so that what a kernel forgets to write, or
// reads too early, shows.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::int64_t count, std::int64_t shift = 1)
      : memory_(static_cast<std::size_t>(2 * kGuard + shift + count)), count_(count), first_(kGuard + shift) {
    std::memset(static_cast<void*>(memory_.data()), kGuardByte, memory_.size() * sizeof(T));
    std::memset(static_cast<void*>(data()), 0xff, static_cast<std::size_t>(count) * sizeof(T));
  }
  T* data() const { return memory_.data() + first_; }
  std::int64_t size() const { return count_; }
  T& operator[](std::int64_t i) const { return data()[i]; }
  bool intact() const {
    const auto bytes = std::as_bytes(memory_.span());
    const auto begin = static_cast<std::size_t>(first_) * sizeof(T);
    const auto end = begin + static_cast<std::size_t>(count_) * sizeof(T);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if ((i < begin || i >= end) && bytes[i] != std::byte{kGuardByte}) return false;
    }
    return true;
  }

 private:
  static constexpr std::int64_t kGuard = 64;
  static constexpr unsigned char kGuardByte = 0xa5;

  AlignedBuffer<T> memory_;
  std::int64_t count_;
  std::int64_t first_;
};

inline RandomStream random_stream(std::uint64_t seed) { return {seed, RandomPurpose::kBatch}; }

template <class T>
void fill_normal(RandomStream& random, double scale, const Guarded<T>& out, double mean = 0.0) {
  for (std::int64_t i = 0; i < out.size(); ++i) {
    out[i] = from_float<T>(static_cast<float>(mean + scale * random.next_normal()));
  }
}
template <class T>
Guarded<T> normal_values(RandomStream& random, std::int64_t count, double scale = 1.0, double mean = 0.0) {
  Guarded<T> values(count);
  fill_normal(random, scale, values, mean);
  return values;
}
template <class T>
void copy_values(const Guarded<T>& from, const Guarded<T>& to) {
  for (std::int64_t i = 0; i < from.size(); ++i) to[i] = from[i];
}

template <class T>
double as_double(T value) {
  return static_cast<double>(to_float(value));
}
template <class T>
std::vector<float> floats(const Guarded<T>& values) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < values.size(); ++i) out.push_back(to_float(values[i]));
  EXPECT_TRUE(values.intact()) << "written outside of its memory";
  return out;
}
template <class T>
std::vector<double> doubles(const Guarded<T>& values) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < values.size(); ++i) out.push_back(as_double(values[i]));
  return out;
}

// Index into [B, T, C], and the values of one channel over time.
inline std::int64_t at(const SequenceShape& shape, std::int64_t b, std::int64_t t, std::int64_t c) {
  return (b * shape.tokens + t) * shape.channels + c;
}
template <class Values>
std::vector<double> series(const SequenceShape& shape, const Values& values, std::int64_t b, std::int64_t c) {
  std::vector<double> out;
  for (std::int64_t t = 0; t < shape.tokens; ++t) out.push_back(as_double(values[at(shape, b, t, c)]));
  return out;
}

// Odd sizes around the vector and tile widths.
inline std::vector<SequenceShape> all_shapes() {
  std::vector<SequenceShape> shapes;
  for (const std::int64_t channels : {1, 3, 13, 63, 64, 65, 130}) {
    for (const std::int64_t tokens : {1, 2, 17, 33}) {
      for (const std::int64_t batch : {1, 3}) shapes.push_back({batch, tokens, channels});
    }
  }
  return shapes;
}
inline std::string text_of(const SequenceShape& shape) {
  return fmt::format("B {} T {} C {}", shape.batch, shape.tokens, shape.channels);
}
template <class A>
constexpr const char* type_name() {
  return std::is_same_v<A, float> ? "float" : "bf16";
}

// Every instruction set this CPU has and the kernels are compiled for.
inline const std::vector<std::string>& simd_targets() {
  static const std::vector<std::string> targets = [] {
    std::vector<std::string> names;
    for (const char* name : {"baseline", "avx2", "avx512", "avx512vnni"}) {
      try {
        set_simd_target(name);
        names.emplace_back(name);
      } catch (const Error&) {  // not on this machine; simd_test.cc asks the CPU the other way round
      }
    }
    set_simd_target("best");
    return names;
  }();
  return targets;
}

// Named results of a kernel; Bf16 as the floats they stand for.
using Outputs = std::map<std::string, std::vector<float>>;

inline void expect_same_bits(const Outputs& expected, const Outputs& actual, const std::string& where) {
  for (const auto& [name, values] : expected) {
    const std::vector<float>& others = actual.at(name);
    ASSERT_EQ(values.size(), others.size()) << name;
    if (values.empty() || std::memcmp(values.data(), others.data(), values.size() * sizeof(float)) == 0) continue;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::memcmp(&values[i], &others[i], sizeof(float)) == 0) continue;
      FAIL() << fmt::format("{}[{}] is {:.9g}, but {:.9g} {}", name, i, values[i], others[i], where);
    }
  }
}

// Calls `compute`, which returns Outputs, on every instruction set and with 1, 2 and 3 threads. All
// must agree.
template <class Compute>
Outputs same_everywhere(const Compute& compute) {
  set_thread_count(1);
  set_simd_target(simd_targets().front());
  const Outputs first = compute();
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    expect_same_bits(first, compute(), "on " + target);
  }
  set_simd_target("best");
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    expect_same_bits(first, compute(), fmt::format("with {} threads", threads));
  }
  set_thread_count(1);
  return first;
}

struct Tolerance {
  double relative = 0.0;
  double absolute = 0.0;
};
// `float_tolerance` for float; for Bf16 as well half a unit in the last place of its eight bits.
template <class A>
Tolerance rounded(Tolerance float_tolerance) {
  if constexpr (std::is_same_v<A, Bf16>) float_tolerance.relative += 0x1p-8;
  return float_tolerance;
}

template <class Actual>
void expect_close(const std::vector<Actual>& actual, const std::vector<double>& expected, Tolerance tolerance,
                  std::string_view what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (error <= tolerance.absolute + tolerance.relative * std::abs(expected[i])) continue;
    FAIL() << fmt::format("{}[{}] is {:.9g}, expected {:.9g}, off by {:.3g}", what, i, static_cast<double>(actual[i]),
                          expected[i], error);
  }
}
inline double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

}  // namespace spikegpt::test
