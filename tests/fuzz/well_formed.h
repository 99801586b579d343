// What every reader of weights promises of the files it accepts.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt::test {

inline bool is_float_format(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBf16 || dtype == DType::kF16 || dtype == DType::kF64;
}

// Throws Bug for a tensor that breaks a promise of WeightFile. Touches every byte.
inline void check_well_formed(const WeightFile& file) {
  std::set<std::string_view> names;
  for (const TensorView& tensor : file.tensors()) {
    ensure(names.insert(tensor.name).second, "two tensors of one name");
    ensure(file.find(tensor.name) == &tensor, "a tensor that cannot be found");
    for (const std::int64_t extent : tensor.shape) ensure(extent >= 0, "a negative extent");
    const std::size_t element = size_of(tensor.dtype);
    const auto count = static_cast<std::size_t>(element_count(tensor));
    ensure(tensor.data.size() == count * element, "data of another size than the shape");
    const auto address = reinterpret_cast<std::uintptr_t>(tensor.data.data());
    ensure(tensor.data.empty() || address % element == 0, "misaligned data");
    if (is_float_format(tensor.dtype)) {
      std::vector<float> values(count);
      copy_as_float(tensor, values);
    }
    unsigned sum = 0;
    for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);
    ensure(sum <= 255u * tensor.data.size(), "unreachable");
  }
}

}  // namespace spikegpt::test
