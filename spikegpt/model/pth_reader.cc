#include "spikegpt/model/pth_reader.h"

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/pickle_reader.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::vector<std::byte>;

// A zip archive whose entries are stored as they are, as torch.save writes them.
class Archive {
 public:
  explicit Archive(const std::filesystem::path& path) : path_(path), file_size_(check_file(path)) {
    int code = 0;
    zip_ = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (zip_ == nullptr) {
      throw Error(ErrorKind::kCorruptFile, "{}: not a readable zip archive (libzip error {}): is it cut short?",
                  path.string(), code);
    }
  }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;
  ~Archive() { zip_discard(zip_); }

  // The folder inside that holds data.pkl, with its slash.
  std::string prefix() const {
    for (zip_int64_t i = 0; i < zip_get_num_entries(zip_, 0); ++i) {
      const char* raw = zip_get_name(zip_, static_cast<zip_uint64_t>(i), 0);
      const std::string name = raw == nullptr ? "" : raw;
      if (name.ends_with("/data.pkl")) return name.substr(0, name.size() - std::strlen("data.pkl"));
    }
    throw Error(ErrorKind::kCorruptFile, "{}: no data.pkl in the archive; expected a file of torch.save",
                path_.string());
  }

  Bytes read(const std::string& name) const {
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat(zip_, name.c_str(), 0, &stat) != 0) fail(name, "is missing from the archive");
    if (stat.comp_method != ZIP_CM_STORE) fail(name, "is compressed; torch.save stores its entries as they are");
    if (stat.size > file_size_) fail(name, "claims to be larger than the whole file");
    Bytes bytes(stat.size);
    zip_file_t* file = zip_fopen(zip_, name.c_str(), 0);
    if (file == nullptr) fail(name, zip_strerror(zip_));
    const zip_int64_t count = zip_fread(file, bytes.data(), bytes.size());
    const bool whole = zip_fclose(file) == 0 && count == static_cast<zip_int64_t>(bytes.size());
    if (!whole) fail(name, "cannot be read to its end (checksum or length is wrong)");
    return bytes;
  }
  bool has(const std::string& name) const { return zip_name_locate(zip_, name.c_str(), 0) >= 0; }
  const std::filesystem::path& path() const { return path_; }
  std::uint64_t file_size() const { return file_size_; }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw Error(ErrorKind::kCorruptFile, "{}: entry {} {}", path_.string(), name, what);
  }
  static std::uint64_t check_file(const std::filesystem::path& path) {
    const MappedFile file(path);
    if (!file.text().starts_with("PK")) {
      throw Error(ErrorKind::kUnsupported,
                  "{}: not a zip archive. If it is a checkpoint of PyTorch before 1.6, load it there and save "
                  "it again: torch.save(torch.load(\"old.pth\"), \"new.pth\")",
                  path.string());
    }
    return file.bytes().size();
  }

  std::filesystem::path path_;
  std::uint64_t file_size_;
  zip_t* zip_ = nullptr;
};

// The memory that the tensors of a checkpoint lie in.
struct Memory {
  std::map<std::string, Bytes> storages;
  std::deque<Bytes> gathered;  // of tensors that were not contiguous
};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : archive_(path), prefix_(archive_.prefix()) {}

  WeightFile read() {
    check_byte_order();
    const Bytes bytes = archive_.read(prefix_ + "data.pkl");
    const Pickle pickle(bytes, archive_.path().string() + ": data.pkl");
    std::vector<TensorView> tensors;
    std::set<std::string> names;
    for (const auto& [key, value] : state_dict(pickle.root()).entries) {
      if (value->kind != Kind::kTensor) continue;  // "epoch" and the like
      if (key->kind != Kind::kString) fail("a tensor has a name that is not a string");
      if (!names.insert(key->text).second) fail("the name \"{}\" occurs twice", key->text);
      tensors.push_back(tensor(key->text, *value));
    }
    if (tensors.empty()) fail("no tensors; expected a state_dict");
    drop_common_prefix(tensors);
    return {archive_.path(), std::move(tensors), {}, memory_};
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", archive_.path().string(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  void check_byte_order() const {
    if (!archive_.has(prefix_ + "byteorder")) return;  // older versions of PyTorch
    const Bytes order = archive_.read(prefix_ + "byteorder");
    const std::string_view text(reinterpret_cast<const char*>(order.data()), order.size());
    if (text != "little") {
      throw Error(ErrorKind::kUnsupported, "{}: saved on a {}-endian machine; expected little",
                  archive_.path().string(), text);
    }
  }

  const PickleValue& state_dict(const PickleValue& root) const {
    if (root.kind != Kind::kDict) fail("holds no dictionary; expected a state_dict");
    for (const auto& [key, value] : root.entries) {
      const bool nested = key->kind == Kind::kString && value->kind == Kind::kDict &&
                          (key->text == "model" || key->text == "state_dict" || key->text == "module");
      if (nested) return *value;
    }
    return root;
  }

  const Bytes& storage(const std::string& name, const PickleValue& storage) {
    const auto found = memory_->storages.find(storage.text);
    const Bytes& bytes = found != memory_->storages.end()
                             ? found->second
                             : memory_->storages
                                   .emplace(storage.text, archive_.read(prefix_ + "data/" + storage.text))
                                   .first->second;
    const std::size_t element = size_of(storage.dtype);
    if (storage.number < 0 || static_cast<std::uint64_t>(storage.number) != bytes.size() / element) {
      fail("tensor \"{}\": its storage holds {} {} values, the pickle says {}", name,
           bytes.size() / element, name_of(storage.dtype), storage.number);
    }
    return bytes;
  }

  TensorView tensor(const std::string& name, const PickleValue& value) {
    const PickleValue& description = *value.storage;
    const Bytes& bytes = storage(name, description);
    TensorView view{name, description.dtype, value.shape, {}};
    const std::int64_t count = check_extent(name, value);
    const std::size_t element = size_of(description.dtype);
    if (is_contiguous(value)) {
      view.data = std::span(bytes).subspan(static_cast<std::size_t>(value.number) * element,
                                           static_cast<std::size_t>(count) * element);
    } else {
      view.data = gather(value, bytes, element, count);
    }
    return view;
  }

  // Number of elements, after checking that all of them lie in the storage.
  std::int64_t check_extent(const std::string& name, const PickleValue& value) const {
    const std::int64_t available = value.storage->number;
    std::int64_t count = 1;
    __extension__ __int128 last = value.number;
    for (std::size_t i = 0; i < value.shape.size(); ++i) {
      if (value.shape[i] < 0 || value.stride[i] < 0) {
        fail("tensor \"{}\": shape [{}] with strides [{}]: expected no negative numbers", name,
             fmt::join(value.shape, ", "), fmt::join(value.stride, ", "));
      }
      if (value.shape[i] != 0 && count > available / value.shape[i]) {
        fail("tensor \"{}\": shape [{}] has more elements than its storage of {}", name,
             fmt::join(value.shape, ", "), available);
      }
      count *= value.shape[i];
      last += static_cast<__int128>(std::max<std::int64_t>(value.shape[i] - 1, 0)) * value.stride[i];
    }
    if (value.number < 0 || (count > 0 && last >= available) || (count == 0 && value.number > available)) {
      fail("tensor \"{}\": offset {}, shape [{}] and strides [{}] reach beyond its storage of {}", name,
           value.number, fmt::join(value.shape, ", "), fmt::join(value.stride, ", "), available);
    }
    return count;
  }

  static bool is_contiguous(const PickleValue& value) {
    std::int64_t expected = 1;
    for (std::size_t i = value.shape.size(); i-- > 0;) {
      if (value.shape[i] != 1 && value.stride[i] != expected) return false;
      expected *= value.shape[i];
    }
    return true;
  }

  std::span<const std::byte> gather(const PickleValue& value, const Bytes& bytes, std::size_t element,
                                    std::int64_t count) {
    gathered_bytes_ += static_cast<std::uint64_t>(count) * element;
    if (gathered_bytes_ > 2 * archive_.file_size()) {
      fail("its strided tensors would take more than twice the file's size");
    }
    Bytes& out = memory_->gathered.emplace_back(static_cast<std::size_t>(count) * element);
    std::vector<std::int64_t> index(value.shape.size(), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t at = value.number;
      for (std::size_t d = 0; d < index.size(); ++d) at += index[d] * value.stride[d];
      std::memcpy(out.data() + static_cast<std::size_t>(i) * element,
                  bytes.data() + static_cast<std::size_t>(at) * element, element);
      for (std::size_t d = index.size(); d-- > 0;) {
        if (++index[d] < value.shape[d]) break;
        index[d] = 0;
      }
    }
    return out;
  }

  // DataParallel puts "module." in front of every name.
  static void drop_common_prefix(std::vector<TensorView>& tensors) {
    constexpr std::string_view kPrefix = "module.";
    const bool all = std::all_of(tensors.begin(), tensors.end(), [&](const TensorView& tensor) {
      return tensor.name.starts_with(kPrefix);
    });
    if (!all) return;
    for (TensorView& tensor : tensors) tensor.name.erase(0, kPrefix.size());
  }

  Archive archive_;
  std::string prefix_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
  std::uint64_t gathered_bytes_ = 0;
};

}  // namespace

WeightFile read_pth(const std::filesystem::path& path) { return Reader(path).read(); }

}  // namespace spikegpt
