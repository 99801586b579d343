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

// More dimensions than any library makes: what a reader refuses.
inline constexpr std::size_t kMaxRank = 64;

std::int64_t element_count(const TensorView& tensor);

// Converts F32, BF16, F16 or F64 values. `out` has element_count(tensor) places. Throws Error
// (kUnsupported) for other formats.
void copy_as_float(const TensorView& tensor, std::span<float> out);

// A name or other text out of a file as it may stand in a message of one line: ASCII, anything else
// escaped, cut off when very long.
std::string printable(std::string_view text);

// A file that was read or mapped, and its tensors: names differ, no extent is negative, `data` has
// the bytes that the shape takes and begins at a multiple of the element size.
class WeightFile {
 public:
  WeightFile(std::filesystem::path path, std::vector<TensorView> tensors, std::map<std::string, std::string> metadata,
             std::shared_ptr<const void> memory);

  // The same file with other names for its tensors, or some of them only.
  WeightFile with(std::vector<TensorView> tensors) const {
    return {path_, std::move(tensors), metadata_, memory_};
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  // In the order of the file's header.
  std::span<const TensorView> tensors() const noexcept { return tensors_; }
  // nullptr when there is none of that name.
  const TensorView* find(std::string_view name) const noexcept;
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  // The metadata of that name. Throws Error (kCorruptFile) that says `expected`, what the file should be.
  const std::string& metadata_at(const std::string& key, std::string_view expected) const;

 private:
  std::filesystem::path path_;
  std::vector<TensorView> tensors_;
  std::vector<std::size_t> by_name_;  // indices into tensors_, sorted
  std::map<std::string, std::string> metadata_;
  std::shared_ptr<const void> memory_;  // keeps the bytes of the tensors alive
};

// "emb.weight, head.weight, ... (40 tensors)": what a message says of the content of a file.
std::string listed_names(const WeightFile& file);
// The first few of some names, the same way; `what` they are: "tensors".
std::string listed_names(std::span<const std::string> names, std::string_view what);

// The tensor `name`, which must be F32 of that shape. Throws Error (kCorruptFile) that names file and tensor.
const TensorView& expect_floats(const WeightFile& file, const std::string& name,
                                const std::vector<std::int64_t>& shape);

// Copies the tensor `name`, which must be F32 of that shape and finite, to the front of `out`; returns its size in
// floats. Throws Error (kCorruptFile) that names file and tensor.
std::size_t read_floats(const WeightFile& file, const std::string& name, const std::vector<std::int64_t>& shape,
                        std::span<float> out);

// Throws Error (kCorruptFile) that names file, tensor and element unless all values of the tensor `name` are finite.
void require_finite(const WeightFile& file, std::string_view name, std::span<const float> values);

}  // namespace spikegpt
