// Weights for decoding, input-major: what a spike of one input adds to neighbouring outputs lies together, so that
// a spike fetches it in one go and silence fetches nothing (SPEC.md 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/dtype.h"

namespace spikegpt {

enum class WeightType : std::uint8_t {
  kF32,
  kBf16,
  kInt8,  // -127..127 times one float scale per output
  kInt4,  // -7..7 times one bf16 scale per output and group of kInt4Group inputs
};

// "f32", "bf16", "int8" or "int4". Throws Error (kInvalidArgument) for another word.
WeightType weight_type(std::string_view word);
std::string_view name_of(WeightType type);

inline constexpr std::int64_t kPanelWidth = 256;  // neighbouring outputs that are stored together
inline constexpr std::int64_t kInt4Group = 64;    // inputs that share a scale
inline constexpr std::int64_t kInt4Block = 64;    // outputs whose 4-bit values share 32 bytes
inline constexpr int kInt4Offset = 8;             // a stored nibble is its value plus this

enum class MatrixLayout : std::uint8_t {
  kPanels,  // [panels, inputs, kPanelWidth]: dense products stream a panel
  kRows,    // [inputs, panels, kPanelWidth]: an event fetches one run of memory
};

// A matrix of `inputs` x `outputs`; outputs are padded with zeros to whole panels. In a panel row of int4, byte b of a
// block of 64 outputs holds output b in its low and b + 32 in its high nibble.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Rounds `weights` [inputs, outputs], input-major and finite, to `type`.
  PackedMatrix(WeightType type, std::int64_t inputs, std::int64_t outputs, const float* weights,
               MatrixLayout layout = MatrixLayout::kPanels);
  // Takes what weights() and scales() of another gave; their sizes must be those of the shape.
  PackedMatrix(WeightType type, std::int64_t inputs, std::int64_t outputs, std::span<const std::byte> weights,
               std::span<const std::byte> scales, MatrixLayout layout = MatrixLayout::kPanels);

  WeightType type() const noexcept { return type_; }
  MatrixLayout layout() const noexcept { return layout_; }
  std::int64_t inputs() const noexcept { return inputs_; }
  std::int64_t outputs() const noexcept { return outputs_; }
  std::int64_t panels() const noexcept { return panel_count(outputs_); }
  std::int64_t groups() const noexcept { return group_count(type_, inputs_); }
  // Bytes of one input in one panel.
  std::int64_t row_bytes() const noexcept { return row_bytes(type_); }
  // The values of input 0 of a panel; those of input i lie i * stride() behind.
  const std::byte* panel(std::int64_t index) const noexcept { return row(0, index * kPanelWidth); }
  std::int64_t stride() const noexcept {
    return layout_ == MatrixLayout::kPanels ? row_bytes() : panels() * row_bytes();
  }
  // Scales of a panel: int8 float [kPanelWidth], int4 Bf16 [groups, kPanelWidth], else nullptr.
  const std::byte* panel_scales(std::int64_t index) const noexcept;
  // One weight as the number it stands for.
  float value(std::int64_t input, std::int64_t output) const;

  std::span<const std::byte> weights() const noexcept { return {weights_.data(), weights_.size()}; }
  std::span<const std::byte> scales() const noexcept { return {scales_.data(), scales_.size()}; }
  std::size_t size_in_bytes() const noexcept { return weights_.size() + scales_.size(); }

  static std::int64_t panel_count(std::int64_t outputs) { return (outputs + kPanelWidth - 1) / kPanelWidth; }
  static std::int64_t group_count(WeightType type, std::int64_t inputs) {
    return type == WeightType::kInt4 ? (inputs + kInt4Group - 1) / kInt4Group : 1;
  }
  static std::int64_t row_bytes(WeightType type);
  static std::int64_t scale_bytes(WeightType type, std::int64_t inputs);  // of one panel

 private:
  void allocate();
  template <class T>
  void pack_floats(const float* weights);
  void pack_int8(const float* weights);
  void pack_int4(const float* weights);
  std::byte* row(std::int64_t input, std::int64_t output) const noexcept {
    const std::int64_t panel = output / kPanelWidth;
    const std::int64_t rows = layout_ == MatrixLayout::kPanels ? panel * inputs_ + input : input * panels() + panel;
    return weights_.data() + rows * row_bytes();
  }

  WeightType type_ = WeightType::kF32;
  MatrixLayout layout_ = MatrixLayout::kPanels;
  std::int64_t inputs_ = 0;
  std::int64_t outputs_ = 0;
  AlignedBytes weights_;
  AlignedBytes scales_;
};

}  // namespace spikegpt
