#include "spikegpt/model/weight_file.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/core/finite.h"

namespace spikegpt {
namespace {

template <class Stored, class Convert>
void copy_each(const TensorView& tensor, std::span<float> out, const Convert& convert) {
  ensure(tensor.data.size() == out.size() * sizeof(Stored), "a tensor without the bytes of its shape");
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
    case DType::kF32: return copy_each<float>(tensor, out, [](float v) { return v; });
    case DType::kBf16: return copy_each<Bf16>(tensor, out, [](Bf16 v) { return to_float(v); });
    case DType::kF16: return copy_each<std::uint16_t>(tensor, out, [](std::uint16_t v) { return half_to_float(v); });
    case DType::kF64: return copy_each<double>(tensor, out, [](double v) { return static_cast<float>(v); });
    default:
      throw Error(ErrorKind::kUnsupported, "tensor \"{}\" is {}; expected F32, BF16, F16 or F64",
                  printable(tensor.name), name_of(tensor.dtype));
  }
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 200;
  std::string line;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  if (text.size() > kLongest) line += fmt::format("... ({} bytes)", text.size());
  return line;
}

WeightFile::WeightFile(std::filesystem::path path, std::vector<TensorView> tensors,
                       std::map<std::string, std::string> metadata, std::shared_ptr<const void> memory)
    : path_(std::move(path)),
      tensors_(std::move(tensors)),
      by_name_(tensors_.size()),
      metadata_(std::move(metadata)),
      memory_(std::move(memory)) {
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
}

const TensorView* WeightFile::find(std::string_view name) const noexcept {
  const auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](std::size_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
  if (found == by_name_.end() || tensors_[*found].name != name) return nullptr;
  return &tensors_[*found];
}

const std::string& WeightFile::metadata_at(const std::string& key, std::string_view expected) const {
  const auto found = metadata_.find(key);
  if (found != metadata_.end()) return found->second;
  throw Error(ErrorKind::kCorruptFile, "{}: the metadata has no \"{}\"; expected {}", path_.string(), key, expected);
}

std::string listed_names(std::span<const std::string> names, std::string_view what) {
  constexpr std::size_t kShown = 6;
  if (names.empty()) return fmt::format("no {}", what);
  std::string list;
  for (const std::string& name : names.first(std::min(kShown, names.size()))) {
    list += (list.empty() ? "" : ", ") + printable(name.size() > 60 ? name.substr(0, 57) + "..." : name);
  }
  return names.size() > kShown ? fmt::format("{}, ... ({} {})", list, names.size(), what) : list;
}

std::string listed_names(const WeightFile& file) {
  std::vector<std::string> names;
  for (const TensorView& tensor : file.tensors()) names.push_back(tensor.name);
  return listed_names(names, "tensors");
}

const TensorView& expect_floats(const WeightFile& file, const std::string& name,
                                const std::vector<std::int64_t>& shape) {
  const TensorView* tensor = file.find(name);
  if (tensor != nullptr && tensor->dtype == DType::kF32 && tensor->shape == shape) return *tensor;
  throw Error(ErrorKind::kCorruptFile, "{}: expected a tensor \"{}\" of F32 [{}]", file.path().string(), name,
              fmt::join(shape, ", "));
}

std::size_t read_floats(const WeightFile& file, const std::string& name, const std::vector<std::int64_t>& shape,
                        std::span<float> out) {
  const TensorView& tensor = expect_floats(file, name, shape);
  const std::span<float> values = out.first(static_cast<std::size_t>(element_count(tensor)));
  copy_as_float(tensor, values);
  require_finite(file, name, values);
  return values.size();
}

void require_finite(const WeightFile& file, std::string_view name, std::span<const float> values) {
  const std::size_t bad = first_non_finite(values);
  if (bad == values.size()) return;
  throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" holds {} at element {}; expected finite numbers",
              file.path().string(), name, values[bad], bad);
}

}  // namespace spikegpt
