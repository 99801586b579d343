#include <zip.h>

#include <optional>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/pth_source.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {
namespace {

constexpr std::string_view kPickle = "data.pkl";

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, const std::filesystem::path& path, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw Error(kind, "{}: {}", path.string(), fmt::format(format, std::forward<Args>(args)...));
}

std::string message_of(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string message = zip_error_strerror(&error);
  zip_error_fini(&error);
  return message;
}

struct CloseArchive {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
};
struct CloseEntry {
  void operator()(zip_file_t* file) const noexcept { zip_fclose(file); }
};

// Entries lie in the file as they are, in one folder, as torch.save writes them. An archive that is
// compressed, or whose entries overlap to seem larger than the file, is refused.
class ArchiveFile final : public PthSource {
 public:
  explicit ArchiveFile(const std::filesystem::path& path)
      : path_(path), file_size_(MappedFile(path).bytes().size()) {
    int code = 0;
    zip_.reset(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
    if (zip_ == nullptr) {
      fail(ErrorKind::kCorruptFile, path_, "not a readable zip archive ({}): is it cut short?",
           message_of(code));
    }
    find_folder();
    check_byte_order();
    pickle_ = read(kPickle, kMaxPickleBytes);
    object_.emplace(pickle_, path_.string() + ": " + std::string(kPickle));
  }

  const std::filesystem::path& path() const noexcept override { return path_; }
  std::uint64_t file_size() const noexcept override { return file_size_; }
  const Pickle& object() const noexcept override { return *object_; }
  std::vector<std::byte> storage(std::string_view key) override {
    return read("data/" + std::string(key), file_size_);
  }

 private:
  void find_folder();
  void check_byte_order();
  std::vector<std::byte> read(std::string_view name, std::uint64_t largest);

  std::filesystem::path path_;
  std::uint64_t file_size_;
  std::uint64_t bytes_read_ = 0;
  std::string folder_;  // with its slash
  std::unique_ptr<zip_t, CloseArchive> zip_;
  std::vector<std::byte> pickle_;
  std::optional<Pickle> object_;
};

void ArchiveFile::find_folder() {
  std::vector<std::string> names;
  const zip_int64_t count = zip_get_num_entries(zip_.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* raw = zip_get_name(zip_.get(), static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    const std::string_view name = raw == nullptr ? "" : raw;
    names.emplace_back(name);
    const std::size_t slash = name.find('/');
    if (slash == name.npos || name.substr(slash + 1) != kPickle) continue;
    if (!folder_.empty()) {
      fail(ErrorKind::kCorruptFile, path_, "two folders with a {} in the archive; expected one", kPickle);
    }
    folder_ = name.substr(0, slash + 1);
  }
  if (folder_.empty()) {
    fail(ErrorKind::kCorruptFile, path_,
         "no folder with a {} in the zip archive; expected a file of torch.save. The archive has {}", kPickle,
         listed_names(names, "entries"));
  }
}

void ArchiveFile::check_byte_order() {
  const std::string name = folder_ + "byteorder";
  if (zip_name_locate(zip_.get(), name.c_str(), ZIP_FL_ENC_RAW) < 0) return;  // older versions of PyTorch
  const std::vector<std::byte> order = read("byteorder", 16);
  const std::string_view text(reinterpret_cast<const char*>(order.data()), order.size());
  if (text == "little") return;
  fail(ErrorKind::kUnsupported, path_, "saved with the byte order \"{}\"; expected little", printable(text));
}

// All of an entry of the folder, its checksum verified.
std::vector<std::byte> ArchiveFile::read(std::string_view name, std::uint64_t largest) {
  const std::string whole = folder_ + std::string(name);
  const auto refuse = [&](std::string_view what) {
    fail(ErrorKind::kCorruptFile, path_, "entry {}: {}", printable(whole), what);
  };
  zip_stat_t stat;
  zip_stat_init(&stat);
  constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_INDEX;
  if (zip_stat(zip_.get(), whole.c_str(), ZIP_FL_ENC_RAW, &stat) != 0) refuse("missing from the archive");
  if ((stat.valid & kNeeded) != kNeeded) refuse("its size or compression is not in the archive");
  if (stat.comp_method != ZIP_CM_STORE) refuse("compressed; torch.save stores its entries as they are");
  if (stat.size > file_size_ - bytes_read_) {
    refuse(fmt::format("claims {} bytes; the file has {}, of which {} belong to other entries", stat.size,
                       file_size_, bytes_read_));
  }
  if (stat.size > largest) refuse(fmt::format("has {} bytes; expected at most {}", stat.size, largest));
  bytes_read_ += stat.size;
  const std::unique_ptr<zip_file_t, CloseEntry> file(zip_fopen_index(zip_.get(), stat.index, 0));
  if (file == nullptr) refuse(zip_strerror(zip_.get()));
  std::vector<std::byte> bytes(stat.size);
  const zip_int64_t count = zip_fread(file.get(), bytes.data(), bytes.size());
  // The checksum is compared when the end is reached, which takes one more read.
  std::byte beyond{};
  const bool whole_read = count == static_cast<zip_int64_t>(bytes.size());
  if (!whole_read || zip_fread(file.get(), &beyond, 1) != 0) {
    refuse("cannot be read to its end: the length or the checksum is wrong");
  }
  return bytes;
}

}  // namespace

std::unique_ptr<PthSource> open_pth_archive(const std::filesystem::path& path) {
  return std::make_unique<ArchiveFile>(path);
}

}  // namespace spikegpt
