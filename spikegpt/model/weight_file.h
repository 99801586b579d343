// Named tensors out of a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// A contiguous, row-major tensor whose memory belongs to someone else.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

std::int64_t element_count(const TensorView& tensor);

// Converts F32, BF16, F16 or F64 values. `out` has element_count(tensor) places. Throws Error (kUnsupported) for other
// formats.
void copy_as_float(const TensorView& tensor, std::span<float> out);

// A file that was read or mapped, and its tensors.
class WeightFile {
 public:
  WeightFile(std::filesystem::path path, std::vector<TensorView> tensors,
             std::map<std::string, std::string> metadata, std::shared_ptr<const void> memory)
      : path_(std::move(path)),
        tensors_(std::move(tensors)),
        metadata_(std::move(metadata)),
        memory_(std::move(memory)) {}

  const std::filesystem::path& path() const noexcept { return path_; }
  std::span<const TensorView> tensors() const noexcept { return tensors_; }
  // nullptr when there is none of that name.
  const TensorView* find(std::string_view name) const noexcept;
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

 private:
  std::filesystem::path path_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  std::shared_ptr<const void> memory_;  // keeps the bytes of the tensors alive
};

}  // namespace spikegpt
