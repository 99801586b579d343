#include "spikegpt/core/dtype.h"

#include <array>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<DTypeInfo, 11> kInfos = {{{DType::kF32, "F32", 4},
                                               {DType::kBf16, "BF16", 2},
                                               {DType::kF16, "F16", 2},
                                               {DType::kF64, "F64", 8},
                                               {DType::kI8, "I8", 1},
                                               {DType::kU8, "U8", 1},
                                               {DType::kI16, "I16", 2},
                                               {DType::kU16, "U16", 2},
                                               {DType::kI32, "I32", 4},
                                               {DType::kI64, "I64", 8},
                                               {DType::kBool, "BOOL", 1}}};

const DTypeInfo& info(DType dtype) {
  for (const DTypeInfo& entry : kInfos) {
    if (entry.dtype == dtype) return entry;
  }
  throw Bug("dtype without an entry");
}

}  // namespace

std::size_t size_of(DType dtype) { return info(dtype).size; }

std::string_view name_of(DType dtype) { return info(dtype).name; }

DType dtype_from_name(std::string_view name) {
  for (const DTypeInfo& entry : kInfos) {
    if (entry.name == name) return entry.dtype;
  }
  throw Error(ErrorKind::kUnsupported,
              "tensor format \"{}\" is not known; expected F32, BF16, F16, F64, I8, U8, I16, U16, "
              "I32, I64 or BOOL",
              name);
}

float half_to_float(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace spikegpt
