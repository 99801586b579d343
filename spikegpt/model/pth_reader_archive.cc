#include "spikegpt/model/pth_reader_archive.h"

#include <zip.h>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {
namespace {

constexpr std::string_view kPickle = "data.pkl";
// The pickled magic number that files of torch.save before 1.6 begin with.
constexpr std::string_view kOldMagic("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14);

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, const std::filesystem::path& path, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw Error(kind, "{}: {}", path.string(), fmt::format(format, std::forward<Args>(args)...));
}

// Tells what is no zip archive by its first bytes. Returns the size of the file.
std::uint64_t check_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  if (text.starts_with(kOldMagic)) {
    fail(ErrorKind::kUnsupported, path,
         "the format of PyTorch before 1.6, which is not a zip archive. Save it again there: "
         "torch.save(torch.load(\"{}\", map_location=\"cpu\"), \"new.pth\")",
         path.filename().string());
  }
  if (!text.starts_with("PK")) {
    fail(ErrorKind::kCorruptFile, path,
         "not a zip archive: {} bytes that begin with \"{}\"; expected a file of torch.save "
         "(\"PK\")",
         text.size(), printable(text.substr(0, 8)));
  }
  return text.size();
}

std::string message_of(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string message = zip_error_strerror(&error);
  zip_error_fini(&error);
  return message;
}

// Closes an entry at the end of a scope.
struct CloseEntry {
  void operator()(zip_file_t* file) const noexcept { zip_fclose(file); }
};

}  // namespace

void PthArchive::Close::operator()(struct zip* archive) const noexcept { zip_discard(archive); }

PthArchive::PthArchive(const std::filesystem::path& path) : path_(path), file_size_(check_file(path)) {
  int code = 0;
  zip_.reset(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (zip_ == nullptr) {
    fail(ErrorKind::kCorruptFile, path_, "not a readable zip archive ({}): is it cut short?", message_of(code));
  }
  find_folder();
}

void PthArchive::find_folder() {
  bool found = false;
  const zip_int64_t count = zip_get_num_entries(zip_.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* raw = zip_get_name(zip_.get(), static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    const std::string_view name = raw == nullptr ? "" : raw;
    const std::size_t slash = name.find('/');
    if (slash == name.npos || name.substr(slash + 1) != kPickle) continue;
    if (found) fail(ErrorKind::kCorruptFile, path_, "two folders with a {} in the archive; expected one", kPickle);
    found = true;
    folder_ = name.substr(0, slash + 1);
  }
  if (!found) {
    fail(ErrorKind::kCorruptFile, path_, "no folder with a {} in the archive; expected a file of torch.save", kPickle);
  }
}

bool PthArchive::has(std::string_view name) const {
  return zip_name_locate(zip_.get(), (folder_ + std::string(name)).c_str(), ZIP_FL_ENC_RAW) >= 0;
}

std::vector<std::byte> PthArchive::read(std::string_view name, std::uint64_t largest) {
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
    refuse(fmt::format("claims {} bytes; the file has {}, of which {} belong to other entries", stat.size, file_size_,
                       bytes_read_));
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

}  // namespace spikegpt
