#include "spikegpt/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"

namespace spikegpt {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr std::size_t kLengthSize = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::size_t kDataAlignment = 64;

class Reader {
 public:
  explicit Reader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  WeightFile read() {
    const Json header = read_header();
    std::vector<TensorView> tensors;
    std::map<std::string, std::string> metadata;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        metadata = read_metadata(entry);
      } else {
        tensors.push_back(read_tensor(name, entry));
      }
    }
    check_layout(tensors);
    return {file_->path(), std::move(tensors), std::move(metadata), file_};
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", file_->path().string(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  Json read_header() {
    const auto bytes = file_->bytes();
    if (bytes.size() < kLengthSize) {
      fail("the file has {} bytes; a safetensors file begins with an 8-byte length", bytes.size());
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), kLengthSize);
    if (length > kMaxHeader || length > bytes.size() - kLengthSize) {
      fail("the header should have {} bytes, but the file has {}: it is cut short or not safetensors",
           length, bytes.size());
    }
    data_ = bytes.subspan(kLengthSize + length);
    const std::string_view text = file_->text().substr(kLengthSize, length);
    std::vector<std::set<std::string>> keys;  // of the objects being read, to find duplicates
    const auto watch = [&](int, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
        fail("the name \"{}\" occurs twice in the header", value.get<std::string>());
      }
      return keys.size() < 8;  // nothing in a header is nested deeper
    };
    Json header = Json::parse(text, watch, false);
    if (!header.is_object()) fail("the header is not a JSON object");
    return header;
  }

  std::map<std::string, std::string> read_metadata(const Json& entry) const {
    std::map<std::string, std::string> metadata;
    if (!entry.is_object()) fail("__metadata__ is not an object of strings");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("__metadata__ \"{}\" is not a string", key);
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  std::uint64_t number(const std::string& name, const Json& value) const {
    if (!value.is_number_unsigned()) fail("tensor \"{}\": {} is not a size", name, value.dump());
    return value.get<std::uint64_t>();
  }

  TensorView read_tensor(const std::string& name, const Json& entry) const {
    const bool complete = entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                          entry["dtype"].is_string() && entry.contains("shape") &&
                          entry["shape"].is_array() && entry.contains("data_offsets") &&
                          entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2;
    if (!complete) fail("tensor \"{}\": expected dtype, shape and two data_offsets", name);
    TensorView tensor;
    tensor.name = name;
    try {
      tensor.dtype = dtype_from_name(entry["dtype"].get<std::string>());
    } catch (const Error& error) {
      throw Error(error.kind(), "{}: tensor \"{}\": {}", file_->path().string(), name, error.what());
    }
    std::uint64_t size = size_of(tensor.dtype);
    for (const Json& extent : entry["shape"]) {
      const std::uint64_t count = number(name, extent);
      if (count != 0 && size > data_.size() / count) {
        fail("tensor \"{}\": the shape {} is larger than the file", name, entry["shape"].dump());
      }
      size *= count;
      tensor.shape.push_back(static_cast<std::int64_t>(count));
    }
    const std::uint64_t begin = number(name, entry["data_offsets"][0]);
    const std::uint64_t end = number(name, entry["data_offsets"][1]);
    if (begin > end || end > data_.size()) {
      fail("tensor \"{}\": bytes {} to {} lie outside the {} bytes of data: is the file cut short?", name,
           begin, end, data_.size());
    }
    if (end - begin != size) {
      fail("tensor \"{}\": {} bytes for a {} of shape {}, which takes {}", name, end - begin,
           name_of(tensor.dtype), entry["shape"].dump(), size);
    }
    tensor.data = data_.subspan(begin, size);
    return tensor;
  }

  // The tensors must fill the data without holes or overlaps.
  void check_layout(const std::vector<TensorView>& tensors) const {
    std::vector<const TensorView*> order;
    for (const TensorView& tensor : tensors) order.push_back(&tensor);
    std::stable_sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
      return std::pair(a->data.data(), a->data.size()) < std::pair(b->data.data(), b->data.size());
    });
    const std::byte* expected = data_.data();
    for (const TensorView* tensor : order) {
      if (tensor->data.data() != expected) {
        fail("tensor \"{}\" begins at byte {} of the data; expected {}: tensors overlap or leave a hole",
             tensor->name, tensor->data.data() - data_.data(), expected - data_.data());
      }
      expected += tensor->data.size();
    }
    if (expected != data_.data() + data_.size()) {
      fail("{} bytes follow the last tensor", data_.data() + data_.size() - expected);
    }
  }

  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> data_;
};

}  // namespace

WeightFile read_safetensors(const std::filesystem::path& path) {
  return Reader(std::make_shared<const MappedFile>(path)).read();
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, std::string>& metadata,
                       std::span<const TensorView> tensors) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const std::size_t end = offset + tensor.data.size();
    header[tensor.name] = {{"dtype", name_of(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  const std::size_t used = kLengthSize + text.size();
  text.append((kDataAlignment - used % kDataAlignment) % kDataAlignment, ' ');
  const auto length = static_cast<std::uint64_t>(text.size());
  write_atomically(path, [&](FileWriter& writer) {
    writer.write(std::as_bytes(std::span(&length, 1)));
    writer.write_text(text);
    for (const TensorView& tensor : tensors) writer.write(tensor.data);
  });
}

}  // namespace spikegpt
