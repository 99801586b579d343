#include "spikegpt/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/model/safetensors_header.h"

namespace spikegpt {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr std::size_t kLengthSize = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::size_t kDataAlignment = 64;
constexpr const char* kMetadataKey = "__metadata__";

// What the tensors of a file lie in.
struct Memory {
  std::shared_ptr<const void> file;
  std::deque<AlignedBytes> copies;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::filesystem::path& path, std::shared_ptr<const void> memory)
      : bytes_(bytes), path_(path), memory_(std::make_shared<Memory>()) {
    memory_->file = std::move(memory);
  }

  WeightFile read() {
    refuse_foreign({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}, path_);
    SafetensorsHeader header = read_header();
    check_layout(header.tensors);
    std::vector<TensorView> tensors;
    for (SafetensorsEntry& entry : header.tensors) tensors.push_back(read_tensor(std::move(entry)));
    return {path_, std::move(tensors), std::move(header.metadata), std::move(memory_)};
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", path_.string(), fmt::format(format, std::forward<Args>(args)...));
  }

  SafetensorsHeader read_header() {
    if (bytes_.size() < kLengthSize) {
      fail("the file has {} bytes; a safetensors file begins with an 8-byte length", bytes_.size());
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), kLengthSize);
    if (length > kMaxHeader || length > bytes_.size() - kLengthSize) {
      const std::string_view start(reinterpret_cast<const char*>(bytes_.data()), kLengthSize);
      fail(
          "the header should have {} bytes, but the file has {}: it is cut short or not safetensors (it "
          "begins with "
          "\"{}\")",
          length, bytes_.size(), printable(start));
    }
    data_ = bytes_.subspan(kLengthSize + length);
    const auto text = bytes_.subspan(kLengthSize, length);
    return parse_safetensors_header({reinterpret_cast<const char*>(text.data()), text.size()}, path_.string(),
                                    kLengthSize);
  }

  // The tensors must lie in the data and fill it without holes or overlaps.
  void check_layout(const std::vector<SafetensorsEntry>& entries) const {
    std::vector<const SafetensorsEntry*> order;
    for (const SafetensorsEntry& entry : entries) {
      if (entry.offsets[0] > entry.offsets[1] || entry.offsets[1] > data_.size()) {
        fail(
            "tensor \"{}\": bytes {} to {} lie outside the {} bytes of data: is the file cut "
            "short?",
            printable(entry.name), entry.offsets[0], entry.offsets[1], data_.size());
      }
      order.push_back(&entry);
    }
    std::sort(order.begin(), order.end(),
              [](const SafetensorsEntry* a, const SafetensorsEntry* b) { return a->offsets < b->offsets; });
    std::uint64_t expected = 0;
    for (const SafetensorsEntry* entry : order) {
      if (entry->offsets[0] != expected) {
        fail(
            "tensor \"{}\" begins at byte {} of the data; expected {}: tensors overlap or leave a "
            "hole",
            printable(entry->name), entry->offsets[0], expected);
      }
      expected = entry->offsets[1];
    }
    if (expected != data_.size()) fail("{} bytes follow the last tensor", data_.size() - expected);
  }

  DType dtype_of(const SafetensorsEntry& entry) const {
    try {
      return dtype_from_name(printable(entry.dtype));
    } catch (const Error& error) {
      throw Error(error.kind(), "{}: tensor \"{}\": {}", path_.string(), printable(entry.name), error.what());
    }
  }

  // Bytes that a shape takes. The product of all extents but those of 0 must fit 63 bits too, so
  // that nobody who multiplies some of them overflows.
  std::uint64_t size_in_bytes(const SafetensorsEntry& entry, DType dtype) const {
    std::uint64_t size = size_of(dtype);
    bool empty = false;
    for (const std::uint64_t extent : entry.shape) {
      empty = empty || extent == 0;
      if (extent == 0) continue;
      if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / extent) {
        fail("tensor \"{}\": the shape [{}] is larger than any file", printable(entry.name),
             fmt::join(entry.shape, ", "));
      }
      size *= extent;
    }
    return empty ? 0 : size;
  }

  TensorView read_tensor(SafetensorsEntry&& entry) {
    const DType dtype = dtype_of(entry);
    const std::uint64_t size = size_in_bytes(entry, dtype);
    const std::uint64_t begin = entry.offsets[0];
    const std::uint64_t end = entry.offsets[1];
    if (end - begin != size) {
      fail(
          "tensor \"{}\": bytes {} to {} of the data are {} bytes; expected {} for {} of shape "
          "[{}]",
          printable(entry.name), begin, end, end - begin, size, name_of(dtype), fmt::join(entry.shape, ", "));
    }
    TensorView tensor{std::move(entry.name), dtype, {entry.shape.begin(), entry.shape.end()}, {}};
    tensor.data = aligned(data_.subspan(begin, size), size_of(dtype));
    return tensor;
  }

  std::span<const std::byte> aligned(std::span<const std::byte> data, std::size_t alignment) {
    if (data.empty() || reinterpret_cast<std::uintptr_t>(data.data()) % alignment == 0) return data;
    const AlignedBytes& copy = memory_->copies.emplace_back(data.size());
    std::memcpy(copy.data(), data.data(), data.size());
    return {copy.data(), data.size()};
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  const std::filesystem::path& path_;
  std::shared_ptr<Memory> memory_;
};

// A JSON string.
std::string quoted(const std::filesystem::path& path, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::kInvalidArgument, "cannot write {}: \"{}\" is not UTF-8", path.string(), printable(text));
  }
}

void check_writable(std::span<const TensorView> tensors) {
  std::set<std::string_view> names;
  for (const TensorView& tensor : tensors) {
    ensure(tensor.name != kMetadataKey, "a tensor with the name of the metadata");
    ensure(names.insert(tensor.name).second, "two tensors of one name");
    ensure(tensor.data.size() == static_cast<std::size_t>(element_count(tensor)) * size_of(tensor.dtype),
           "a tensor without the bytes of its shape");
  }
}

// The order of the data: wide elements first, which keeps every tensor aligned. Indices.
std::vector<std::size_t> data_order(std::span<const TensorView> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return size_of(tensors[a].dtype) > size_of(tensors[b].dtype); });
  return order;
}

std::string header_text(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                        std::span<const TensorView> tensors, std::span<const std::size_t> order) {
  std::vector<std::size_t> begins(tensors.size());
  std::size_t offset = 0;
  for (const std::size_t i : order) {
    begins[i] = offset;
    offset += tensors[i].data.size();
  }
  std::vector<std::string> entries;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) {
      pairs.push_back(quoted(path, key) + ":" + quoted(path, value));
    }
    entries.push_back(fmt::format("\"{}\":{{{}}}", kMetadataKey, fmt::join(pairs, ",")));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    entries.push_back(fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                                  quoted(path, tensors[i].name), name_of(tensors[i].dtype),
                                  fmt::join(tensors[i].shape, ","), begins[i], begins[i] + tensors[i].data.size()));
  }
  std::string text = fmt::format("{{{}}}", fmt::join(entries, ","));
  const std::size_t used = kLengthSize + text.size();
  text.append((kDataAlignment - used % kDataAlignment) % kDataAlignment, ' ');
  return text;
}

}  // namespace

WeightFile parse_safetensors(std::span<const std::byte> bytes, const std::filesystem::path& path,
                             std::shared_ptr<const void> memory) {
  return Reader(bytes, path, std::move(memory)).read();
}

WeightFile read_safetensors(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  return parse_safetensors(file->bytes(), path, file);
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const TensorView> tensors) {
  check_writable(tensors);
  const std::vector<std::size_t> order = data_order(tensors);
  const std::string text = header_text(path, metadata, tensors, order);
  const auto length = static_cast<std::uint64_t>(text.size());
  write_atomically(path, [&](FileWriter& writer) {
    writer.write(std::as_bytes(std::span(&length, 1)));
    writer.write_text(text);
    for (const std::size_t i : order) writer.write(tensors[i].data);
  });
}

}  // namespace spikegpt
