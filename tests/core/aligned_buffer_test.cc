#include "spikegpt/core/aligned_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/text/expect_error.h"

#if defined(__SANITIZE_ADDRESS__)
// The sanitizer's allocator ends the program where the system's says no.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

namespace spikegpt {
namespace {

bool aligned(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory) % kAlignment == 0; }

TEST(AlignedBytes, ZeroedAndAligned) {
  // Around whole vectors, and across the size from which huge pages are asked for (4 MiB).
  for (const std::size_t size : {1u, 63u, 64u, 65u, 4097u, (4u << 20) - 1u, 4u << 20, (6u << 20) + 1u}) {
    const AlignedBytes bytes(size);
    ASSERT_NE(bytes.data(), nullptr);
    EXPECT_TRUE(aligned(bytes.data()));
    EXPECT_EQ(bytes.size(), size);
    EXPECT_TRUE(std::all_of(bytes.data(), bytes.data() + size, [](std::byte b) { return b == std::byte{0}; }));
    std::fill(bytes.data(), bytes.data() + size, std::byte{0xff});  // dirty for the next of that size
  }
}

TEST(AlignedBytes, FreshMemoryIsZeroEvenWhereItWasUsedBefore) {
  for (int round = 0; round < 4; ++round) {
    const AlignedBytes bytes(5000);
    EXPECT_TRUE(std::all_of(bytes.data(), bytes.data() + 5000, [](std::byte b) { return b == std::byte{0}; }));
    std::fill(bytes.data(), bytes.data() + 5000, std::byte{0xff});
  }
}

TEST(AlignedBytes, EmptyHasNoMemory) {
  EXPECT_EQ(AlignedBytes(0).data(), nullptr);
  EXPECT_EQ(AlignedBytes().size(), 0u);
}

TEST(AlignedBytes, TooLargeIsAnErrorThatNamesTheSize) {
  expect_error(ErrorKind::kMemory, {"MB", "9223372036854.8"}, [] { AlignedBytes(std::size_t{1} << 63); });
}

TEST(AlignedBuffer, HoldsItsElements) {
  AlignedBuffer<double> buffer(5);
  EXPECT_EQ(buffer.size(), 5u);
  EXPECT_EQ(buffer.span().size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(buffer[i], 0.0);
    buffer[i] = static_cast<double>(i);
  }
  const double* memory = buffer.data();
  const AlignedBuffer<double> moved = std::move(buffer);
  EXPECT_EQ(moved.data(), memory);
  EXPECT_EQ(moved[4], 4.0);
}

TEST(Arena, MeasuresThenHandsOut) {
  const auto request = [](Arena& arena) {
    float* a = arena.take<float>(3);
    char* b = arena.take<char>(65);
    const std::size_t mark = arena.used();
    double* c = arena.take<double>(100);
    arena.rewind(mark);
    double* d = arena.take<double>(1);
    return std::tuple(a, b, c, d);
  };
  Arena measure;
  EXPECT_EQ(std::get<0>(request(measure)), nullptr);
  EXPECT_EQ(measure.used(), 64u + 128u + 64u);
  EXPECT_EQ(measure.peak(), 64u + 128u + 832u);

  const AlignedBytes memory(measure.peak());
  Arena arena(memory.data(), memory.size());
  const auto [a, b, c, d] = request(arena);
  EXPECT_EQ(static_cast<void*>(a), memory.data());
  EXPECT_EQ(static_cast<void*>(b), memory.data() + 64);
  EXPECT_EQ(static_cast<void*>(c), memory.data() + 192);
  EXPECT_EQ(c, d);  // shared after the rewind
  EXPECT_EQ(arena.peak(), measure.peak());
}

TEST(Arena, MoreThanMeasuredIsABug) {
  const AlignedBytes memory(128);
  Arena arena(memory.data(), memory.size());
  arena.take<char>(100);
  EXPECT_THROW(arena.take<char>(1), Bug);
}

TEST(Arena, NothingTakesNoRoom) {
  Arena arena;
  arena.take<float>(0);
  EXPECT_EQ(arena.used(), 0u);
}

}  // namespace
}  // namespace spikegpt
