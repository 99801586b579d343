#include "spikegpt/core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

// The value of a binary format with these many exponent and mantissa bits, by the definition of
// IEEE 754.
double decode(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const std::uint32_t mantissa = bits & ((1u << mantissa_bits) - 1u);
  const std::uint32_t exponent = (bits >> mantissa_bits) & ((1u << exponent_bits) - 1u);
  const double sign = (bits >> (mantissa_bits + exponent_bits)) != 0 ? -1.0 : 1.0;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1u << exponent_bits) - 1u) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  }
  const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissa_bits);
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0 + fraction, static_cast<int>(exponent) - bias);
}

void expect_value(float actual, double expected, std::uint32_t bits) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(actual)) << bits;
  } else {
    ASSERT_EQ(static_cast<double>(actual), expected) << bits;
    ASSERT_EQ(std::signbit(actual), std::signbit(expected)) << bits;
  }
}

TEST(Half, EveryValue) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    expect_value(half_to_float(static_cast<std::uint16_t>(bits)), decode(bits, 5, 10), bits);
  }
}

TEST(Bf16, EveryValueAndBack) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = to_float(Bf16{static_cast<std::uint16_t>(bits)});
    expect_value(value, decode(bits, 8, 7), bits);
    if (!std::isnan(value)) {
      ASSERT_EQ(to_bf16(value).bits, bits);
    }
  }
}

// Half of the distance to the next value rounds to the even one; a hair less or more, to the nearer
// one.
TEST(Bf16, RoundsToNearestTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
    for (const std::uint32_t sign : {0u, 0x8000u}) {
      const std::uint32_t upper = (sign | bits) << 16;
      const auto rounded = [&](std::uint32_t lower) { return to_bf16(std::bit_cast<float>(upper | lower)).bits; };
      const std::uint32_t here = sign | bits;
      ASSERT_EQ(rounded(0x0001), here);
      ASSERT_EQ(rounded(0x7fff), here);
      ASSERT_EQ(rounded(0x8000), here + (bits & 1u));
      ASSERT_EQ(rounded(0x8001), here + 1u);
      ASSERT_EQ(rounded(0xffff), here + 1u);
    }
  }
}

TEST(Bf16, RoundsBeyondItsLargestToInfinity) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::lowest()).bits, 0xff80);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::infinity()).bits, 0x7f80);
}

TEST(Bf16, TheNansThatArithmeticMakesStayNan) {
  for (const std::uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7fc00001u, 0x7fe12345u, 0xffe12345u}) {
    EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(bits))))) << std::hex << bits;
  }
}

// Those that come out of a file may have any bits.
TEST(Bf16, EveryNanStaysNan) {
  for (const std::uint32_t sign : {0u, 0x80000000u}) {
    for (const std::uint32_t mantissa :
         {0x000001u, 0x007fffu, 0x008000u, 0x3fffffu, 0x400000u, 0x7f7fffu, 0x7f8000u, 0x7fffffu}) {
      const std::uint32_t bits = sign | 0x7f800000u | mantissa;
      EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(bits))))) << std::hex << bits;
    }
  }
}

TEST(DType, NamesRoundTripAndSizesFit) {
  const std::vector<std::pair<DType, std::size_t>> sizes = {
      {DType::kF32, 4}, {DType::kBf16, 2}, {DType::kF16, 2}, {DType::kF64, 8}, {DType::kI8, 1},  {DType::kU8, 1},
      {DType::kI16, 2}, {DType::kU16, 2},  {DType::kI32, 4}, {DType::kI64, 8}, {DType::kBool, 1}};
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(size_of(dtype), size);
    EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype);
  }
  EXPECT_EQ(name_of(DType::kBf16), "BF16");
  EXPECT_EQ(kDTypeOf<float>, DType::kF32);
  EXPECT_EQ(kDTypeOf<Bf16>, DType::kBf16);
}

TEST(DType, UnknownNameIsAnErrorThatListsTheKnown) {
  for (const char* name : {"F8_E4M3", "f32", "", "U64"}) {
    expect_error(ErrorKind::kUnsupported, {name, "F32", "BF16", "BOOL"}, [&] { dtype_from_name(name); });
  }
  EXPECT_THROW(size_of(static_cast<DType>(99)), Bug);
}

}  // namespace
}  // namespace spikegpt
