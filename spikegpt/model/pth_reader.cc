#include "spikegpt/model/pth_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <set>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/model/pth_source.h"
#include "spikegpt/model/state_dict.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::vector<std::byte>;

// The memory that the tensors of a checkpoint lie in.
struct Memory {
  std::map<std::string, Bytes, std::less<>> storages;
  std::deque<Bytes> gathered;  // of tensors that were not contiguous
};

// Where a tensor lies in its storage, in elements. All of it was checked.
struct Strided {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  std::size_t element = 0;  // bytes
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;
};

bool is_contiguous(const Strided& layout) {
  if (layout.count == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t i = layout.shape.size(); i-- > 0;) {
    if (layout.shape[i] != 1 && layout.stride[i] != expected) return false;
    expected *= layout.shape[i];
  }
  return true;
}

void copy_strided(const Strided& layout, const Bytes& from, Bytes& to) {
  std::vector<std::int64_t> index(layout.shape.size(), 0);
  std::int64_t at = layout.offset;
  for (std::size_t i = 0; i < to.size(); i += layout.element) {
    std::memcpy(to.data() + i, from.data() + static_cast<std::size_t>(at) * layout.element, layout.element);
    for (std::size_t d = index.size(); d-- > 0;) {
      if (layout.shape[d] == 1) continue;  // its stride may be any number
      at += layout.stride[d];
      if (++index[d] < layout.shape[d]) break;
      at -= layout.stride[d] * layout.shape[d];
      index[d] = 0;
    }
  }
}

constexpr std::string_view kTar = "ustar";
constexpr std::size_t kTarAt = 257;
// What a tar archive of torch.save begins with: the name of its first entry.
constexpr std::array<std::string_view, 4> kTarEntries = {"sys_info", "pickle", "storages", "tensors"};

bool is_tar(std::string_view bytes) {
  const bool named = std::ranges::any_of(kTarEntries, [&](std::string_view name) {
    return bytes.starts_with(name) && bytes.size() > name.size() && bytes[name.size()] == '\0';
  });
  return named || (bytes.size() > kTarAt && bytes.substr(kTarAt).starts_with(kTar));
}

// Tells the formats of torch.save apart, and from what is none.
std::unique_ptr<PthSource> open_source(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  if (is_legacy_pth(text)) return open_pth_legacy(path);
  if (text.starts_with("PK")) return open_pth_archive(path);
  refuse_foreign(text, path);
  if (is_tar(text)) {
    throw Error(ErrorKind::kUnsupported,
                "{}: a tar archive, as the first versions of PyTorch saved (before 0.1.10), which is not "
                "read. Save it "
                "again: torch.save(torch.load(\"{}\", map_location=\"cpu\"), \"new.pth\")",
                path.string(), path.filename().string());
  }
  throw Error(
      ErrorKind::kCorruptFile,
      "{}: not a zip archive: {} bytes that begin with \"{}\"; expected a file of torch.save (\"PK\")",
      path.string(), text.size(), printable(text.substr(0, 8)));
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : source_(open_source(path)) {}

  WeightFile read() {
    const auto& entries = find_state_dict(source_->object().root(), source_->path()).items;
    std::vector<TensorView> tensors;
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < entries.size(); i += 2) {
      const PickleValue& key = *entries[i];
      const PickleValue& value = *entries[i + 1];
      if (value.kind != Kind::kTensor) continue;  // "epoch" and the like
      if (key.kind != Kind::kString) fail("a tensor has a name that is not a string");
      if (!names.insert(key.text).second) fail("the name \"{}\" occurs twice", printable(key.text));
      tensors.push_back(tensor(std::string(key.text), value));
    }
    plain_names(tensors, source_->path());
    return {source_->path(), std::move(tensors), {}, std::move(memory_)};
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", source_->path().string(),
                fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void fail_tensor(const std::string& name, fmt::format_string<Args...> format, Args&&... args) const {
    fail("tensor \"{}\": {}", printable(name), fmt::format(format, std::forward<Args>(args)...));
  }

  const Bytes& storage(const std::string& name, const PickleValue& storage) {
    auto found = memory_->storages.find(storage.text);
    if (found == memory_->storages.end()) {
      const std::string key(storage.text);
      found = memory_->storages.emplace(key, source_->storage(key)).first;
    }
    const Bytes& bytes = found->second;
    const std::size_t element = size_of(storage.dtype);
    if (bytes.size() % element != 0 || storage.number < 0 ||
        static_cast<std::uint64_t>(storage.number) != bytes.size() / element) {
      fail_tensor(name, "its storage \"{}\" has {} bytes; the pickle says {} values of {}", printable(storage.text),
                  bytes.size(), storage.number, name_of(storage.dtype));
    }
    return bytes;
  }

  TensorView tensor(std::string name, const PickleValue& value) {
    const PickleValue& from = *value.items[0];
    const Bytes& bytes = storage(name, from);
    Strided layout{value.number, 0, size_of(from.dtype), integers_of(*value.items[1]), integers_of(*value.items[2])};
    check_counts(name, layout);
    check_extent(name, layout, from.number);
    const std::size_t size = static_cast<std::size_t>(layout.count) * layout.element;
    TensorView view{std::move(name), from.dtype, layout.shape, {}};
    if (is_contiguous(layout)) {
      view.data = std::span(bytes).subspan(static_cast<std::size_t>(layout.offset) * layout.element, size);
    } else {
      view.data = gather(view.name, layout, bytes, size);
    }
    return view;
  }

  // Sets the number of elements. Extents multiply without overflow, those of empty tensors too.
  void check_counts(const std::string& name, Strided& layout) const {
    std::int64_t count = 1;
    bool empty = false;
    for (std::size_t i = 0; i < layout.shape.size(); ++i) {
      const std::int64_t extent = layout.shape[i];
      if (extent < 0 || layout.stride[i] < 0) {
        fail_tensor(name, "shape [{}] with strides [{}]: expected no negative numbers", fmt::join(layout.shape, ", "),
                    fmt::join(layout.stride, ", "));
      }
      empty = empty || extent == 0;
      const std::int64_t most = std::numeric_limits<std::int64_t>::max() / 8;  // bytes of the widest
      if (extent > 0 && count > most / extent) {
        fail_tensor(name, "the shape [{}] is larger than any file", fmt::join(layout.shape, ", "));
      }
      count *= std::max<std::int64_t>(extent, 1);
    }
    layout.count = empty ? 0 : count;
  }

  // All elements must lie in the storage, which has `available`.
  void check_extent(const std::string& name, const Strided& layout, std::int64_t available) const {
    bool inside = layout.offset >= 0 && layout.offset <= available;
    if (inside && layout.count > 0) {
      std::int64_t room = available - 1 - layout.offset;  // elements beyond the first
      for (std::size_t i = 0; inside && i < layout.shape.size(); ++i) {
        const std::int64_t steps = layout.shape[i] - 1;
        inside = steps == 0 || layout.stride[i] <= room / steps;
        if (inside) room -= steps * layout.stride[i];
      }
      inside = inside && room >= 0;
    }
    if (inside) return;
    fail_tensor(name, "offset {}, shape [{}] and strides [{}] reach beyond its storage of {} values", layout.offset,
                fmt::join(layout.shape, ", "), fmt::join(layout.stride, ", "), available);
  }

  // A strided tensor can repeat values (stride 0) and so be larger than the file: bounded, all
  // together.
  std::span<const std::byte> gather(const std::string& name, const Strided& layout, const Bytes& bytes,
                                    std::size_t size) {
    const std::uint64_t most = 2 * source_->file_size();
    if (size > most - gathered_bytes_) {
      fail_tensor(name,
                  "shape [{}] with strides [{}]: all strided tensors together would take more than twice "
                  "the file's {} bytes",
                  fmt::join(layout.shape, ", "), fmt::join(layout.stride, ", "), source_->file_size());
    }
    gathered_bytes_ += size;
    Bytes& out = memory_->gathered.emplace_back(size);
    copy_strided(layout, bytes, out);
    return out;
  }

  std::unique_ptr<PthSource> source_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
  std::uint64_t gathered_bytes_ = 0;
};

}  // namespace

WeightFile read_pth(const std::filesystem::path& path) { return Reader(path).read(); }

}  // namespace spikegpt
