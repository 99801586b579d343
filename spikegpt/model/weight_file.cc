#include "spikegpt/model/weight_file.h"

#include <cstring>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

template <class Stored, class Convert>
void copy_each(const TensorView& tensor, std::span<float> out, const Convert& convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, tensor.data.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
}

}  // namespace

std::int64_t element_count(const TensorView& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  return count;
}

void copy_as_float(const TensorView& tensor, std::span<float> out) {
  ensure(static_cast<std::int64_t>(out.size()) == element_count(tensor), "wrong number of floats");
  switch (tensor.dtype) {
    case DType::kF32:
      return copy_each<float>(tensor, out, [](float v) { return v; });
    case DType::kBf16:
      return copy_each<Bf16>(tensor, out, [](Bf16 v) { return to_float(v); });
    case DType::kF16:
      return copy_each<std::uint16_t>(tensor, out, [](std::uint16_t v) { return half_to_float(v); });
    case DType::kF64:
      return copy_each<double>(tensor, out, [](double v) { return static_cast<float>(v); });
    default:
      throw Error(ErrorKind::kUnsupported, "tensor \"{}\" is {}; expected F32, BF16, F16 or F64",
                  tensor.name, name_of(tensor.dtype));
  }
}

const TensorView* WeightFile::find(std::string_view name) const noexcept {
  for (const TensorView& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

}  // namespace spikegpt
