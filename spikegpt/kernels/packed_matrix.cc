#include "spikegpt/kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"

namespace spikegpt {
namespace {

constexpr float kInt8Max = 127.0f;
constexpr float kInt4Max = 7.0f;

// Scales that int4 tries, as parts of the one that fits the largest weight: clipping a rare large weight often pays.
constexpr float kInt4Trials[] = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f};

float quantized(float weight, float scale, float largest) {
  if (scale == 0.0f) return 0.0f;
  return std::clamp(std::nearbyint(weight / scale), -largest, largest);
}

// The bf16 scale with the smallest squared error for weights[0], weights[stride], ...
float best_int4_scale(const float* weights, std::int64_t count, std::int64_t stride) {
  float largest = 0.0f;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(weights[i * stride]));
  float best = 0.0f;
  double least = std::numeric_limits<double>::infinity();
  for (const float trial : kInt4Trials) {
    const float scale = to_float(to_bf16(largest * trial / kInt4Max));
    double error = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      const float w = weights[i * stride];
      const auto difference = static_cast<double>(w - scale * quantized(w, scale, kInt4Max));
      error += difference * difference;
    }
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

template <class T>
T* values_at(std::byte* bytes) {
  return reinterpret_cast<T*>(bytes);
}

// Where the nibble of an output lies in its panel row.
struct Nibble {
  std::int64_t byte;
  int shift;
};
Nibble nibble_of(std::int64_t output_in_panel) {
  const std::int64_t in_block = output_in_panel % kInt4Block;
  const std::int64_t half = kInt4Block / 2;
  return {output_in_panel / kInt4Block * half + in_block % half, in_block < half ? 0 : 4};
}

}  // namespace

WeightType weight_type(std::string_view word) {
  for (const WeightType type : {WeightType::kF32, WeightType::kBf16, WeightType::kInt8, WeightType::kInt4}) {
    if (name_of(type) == word) return type;
  }
  throw Error(ErrorKind::kInvalidArgument, "weight type \"{}\" is not known; expected f32, bf16, int8 or int4", word);
}

std::string_view name_of(WeightType type) {
  switch (type) {
    case WeightType::kF32: return "f32";
    case WeightType::kBf16: return "bf16";
    case WeightType::kInt8: return "int8";
    case WeightType::kInt4: break;
  }
  return "int4";
}

std::int64_t PackedMatrix::row_bytes(WeightType type) {
  switch (type) {
    case WeightType::kF32: return 4 * kPanelWidth;
    case WeightType::kBf16: return 2 * kPanelWidth;
    case WeightType::kInt8: return kPanelWidth;
    case WeightType::kInt4: break;
  }
  return kPanelWidth / 2;
}

std::int64_t PackedMatrix::scale_bytes(WeightType type, std::int64_t inputs) {
  if (type == WeightType::kInt8) return kPanelWidth * 4;
  if (type == WeightType::kInt4) return group_count(type, inputs) * kPanelWidth * 2;
  return 0;
}

const std::byte* PackedMatrix::panel_scales(std::int64_t index) const noexcept {
  return scales_.size() == 0 ? nullptr : scales_.data() + index * scale_bytes(type_, inputs_);
}

void PackedMatrix::allocate() {
  ensure(inputs_ > 0 && outputs_ > 0, "a packed matrix without inputs or outputs");
  weights_ = AlignedBytes(static_cast<std::size_t>(panels() * inputs_ * row_bytes()));
  scales_ = AlignedBytes(static_cast<std::size_t>(panels() * scale_bytes(type_, inputs_)));
}

PackedMatrix::PackedMatrix(WeightType type, std::int64_t inputs, std::int64_t outputs, const float* weights,
                           MatrixLayout layout)
    : type_(type), layout_(layout), inputs_(inputs), outputs_(outputs) {
  allocate();
  switch (type) {
    case WeightType::kF32: pack_floats<float>(weights); break;
    case WeightType::kBf16: pack_floats<Bf16>(weights); break;
    case WeightType::kInt8: pack_int8(weights); break;
    case WeightType::kInt4: pack_int4(weights); break;
  }
}

PackedMatrix::PackedMatrix(WeightType type, std::int64_t inputs, std::int64_t outputs,
                           std::span<const std::byte> weights, std::span<const std::byte> scales, MatrixLayout layout)
    : type_(type), layout_(layout), inputs_(inputs), outputs_(outputs) {
  allocate();
  ensure(weights.size() == weights_.size() && scales.size() == scales_.size(), "packed bytes of another shape");
  std::memcpy(weights_.data(), weights.data(), weights.size());
  if (!scales.empty()) std::memcpy(scales_.data(), scales.data(), scales.size());
}

template <class T>
void PackedMatrix::pack_floats(const float* weights) {
  parallel_for(inputs_, [&](std::int64_t i) {
    for (std::int64_t o = 0; o < outputs_; ++o) {
      values_at<T>(row(i, o))[o % kPanelWidth] = from_float<T>(weights[i * outputs_ + o]);
    }
  });
}

void PackedMatrix::pack_int8(const float* weights) {
  std::vector<float> scales(static_cast<std::size_t>(panels() * kPanelWidth));
  for (std::int64_t i = 0; i < inputs_; ++i) {
    for (std::int64_t o = 0; o < outputs_; ++o) {
      float& largest = scales[static_cast<std::size_t>(o)];
      largest = std::max(largest, std::abs(weights[i * outputs_ + o]));
    }
  }
  for (float& scale : scales) scale /= kInt8Max;
  std::memcpy(scales_.data(), scales.data(), scales_.size());
  parallel_for(inputs_, [&](std::int64_t i) {
    for (std::int64_t o = 0; o < outputs_; ++o) {
      const float q = quantized(weights[i * outputs_ + o], scales[static_cast<std::size_t>(o)], kInt8Max);
      values_at<std::int8_t>(row(i, o))[o % kPanelWidth] = static_cast<std::int8_t>(q);
    }
  });
}

void PackedMatrix::pack_int4(const float* weights) {
  // A panel's rows are shared by its outputs' nibbles, so one task packs a whole panel.
  parallel_for(panels(), [&](std::int64_t p) {
    Bf16* const scales = values_at<Bf16>(scales_.data() + p * scale_bytes(type_, inputs_));
    const std::int64_t end = std::min(kPanelWidth, outputs_ - p * kPanelWidth);
    for (std::int64_t j = 0; j < kPanelWidth; ++j) {
      const Nibble place = nibble_of(j);
      const std::int64_t o = p * kPanelWidth + j;
      for (std::int64_t first = 0; first < inputs_; first += kInt4Group) {
        const std::int64_t count = std::min(kInt4Group, inputs_ - first);
        const float scale = j < end ? best_int4_scale(weights + first * outputs_ + o, count, outputs_) : 0.0f;
        scales[first / kInt4Group * kPanelWidth + j] = to_bf16(scale);
        for (std::int64_t i = first; i < first + count; ++i) {
          const float q = j < end ? quantized(weights[i * outputs_ + o], scale, kInt4Max) : 0.0f;
          auto* const bytes = values_at<std::uint8_t>(row(i, p * kPanelWidth));
          const auto nibble = static_cast<unsigned>(static_cast<int>(q) + kInt4Offset) << place.shift;
          bytes[place.byte] = static_cast<std::uint8_t>(bytes[place.byte] | nibble);
        }
      }
    }
  });
}

float PackedMatrix::value(std::int64_t input, std::int64_t output) const {
  std::byte* const bytes = row(input, output);
  const std::int64_t j = output % kPanelWidth;
  const std::byte* const scales = panel_scales(output / kPanelWidth);
  switch (type_) {
    case WeightType::kF32: return values_at<float>(bytes)[j];
    case WeightType::kBf16: return to_float(values_at<Bf16>(bytes)[j]);
    case WeightType::kInt8:
      return static_cast<float>(values_at<std::int8_t>(bytes)[j]) * reinterpret_cast<const float*>(scales)[j];
    case WeightType::kInt4: break;
  }
  const Nibble place = nibble_of(j);
  const int q = (values_at<std::uint8_t>(bytes)[place.byte] >> place.shift & 15) - kInt4Offset;
  const auto* const group = reinterpret_cast<const Bf16*>(scales) + input / kInt4Group * kPanelWidth;
  return static_cast<float>(q) * to_float(group[j]);
}

}  // namespace spikegpt
