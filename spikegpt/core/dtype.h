// Number formats of tensors in memory and in files.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spikegpt {

enum class DType : std::uint8_t { kF32, kBf16, kF16, kF64, kI8, kU8, kI16, kU16, kI32, kI64, kBool };

std::size_t size_of(DType dtype);
// The name safetensors files use: "F32", "BF16", ...
std::string_view name_of(DType dtype);
// Throws Error (kUnsupported) for a name no safetensors file of ours can hold.
DType dtype_from_name(std::string_view name);

// bfloat16: the upper half of a float32. Arithmetic happens in float32.
struct Bf16 {
  std::uint16_t bits = 0;
};

inline float to_float(float x) noexcept { return x; }
inline float to_float(Bf16 x) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

// Rounds to nearest, ties to even. A NaN becomes a quiet one.
inline Bf16 to_bf16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const std::uint32_t quiet = bits | 0x00400000u;
  return {static_cast<std::uint16_t>((x != x ? quiet : rounded) >> 16)};
}

template <class T>
T from_float(float x) noexcept;
template <>
inline float from_float<float>(float x) noexcept {
  return x;
}
template <>
inline Bf16 from_float<Bf16>(float x) noexcept {
  return to_bf16(x);
}

// IEEE half precision, for reading checkpoints only.
float half_to_float(std::uint16_t bits) noexcept;

template <class T>
inline constexpr DType kDTypeOf = DType::kF32;
template <>
inline constexpr DType kDTypeOf<Bf16> = DType::kBf16;

}  // namespace spikegpt
