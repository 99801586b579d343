#include <algorithm>
#include <cstring>
#include <map>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/pth_source.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;

// The pickled magic number, 0x1950a86a20f9469cfc6c.
constexpr std::string_view kMagic("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
constexpr std::int64_t kProtocol = 1001;
constexpr std::size_t kCountSize = 8;

// Pickles of the magic number, the protocol, the machine, the object, and the keys of the storages; then, for
// each key, the number of its elements and their bytes.
class LegacyFile final : public PthSource {
 public:
  explicit LegacyFile(const std::filesystem::path& path) : file_(path), at_(kMagic.size()) {
    check_protocol(*next("the version"));
    check_machine(*next("the machine"));
    object_ = next("the object");
    const std::unique_ptr<Pickle> keys = next("the keys of storages");
    place_storages(keys->root());
  }

  const std::filesystem::path& path() const noexcept override { return file_.path(); }
  std::uint64_t file_size() const noexcept override { return file_.bytes().size(); }
  const Pickle& object() const noexcept override { return *object_; }

  std::vector<std::byte> storage(std::string_view key) override {
    const auto found = storages_.find(key);
    if (found == storages_.end()) fail("storage {}: missing from the file", printable(key));
    return {found->second.begin(), found->second.end()};
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", path().string(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  std::span<const std::byte> rest() const { return file_.bytes().subspan(at_); }

  std::unique_ptr<Pickle> next(std::string_view what) {
    const auto bytes = rest().first(std::min(rest().size(), kMaxPickleBytes));
    auto pickle =
        std::make_unique<Pickle>(bytes, fmt::format("{}: {}, from byte {} on", path().string(), what, at_));
    at_ += pickle->size();
    return pickle;
  }

  void check_protocol(const Pickle& version) const {
    if (version.root().kind == Kind::kInt && version.root().number == kProtocol) return;
    throw Error(ErrorKind::kUnsupported, "{}: another version of the format of old PyTorch than {}",
                path().string(), kProtocol);
  }

  void check_machine(const Pickle& machine) const {
    const PickleValue& root = machine.root();
    if (root.kind != Kind::kDict) fail("expected a dictionary about the machine that saved the file");
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      if (root.items[i]->kind != Kind::kString || root.items[i]->text != "little_endian") continue;
      if (root.items[i + 1]->kind == Kind::kBool && root.items[i + 1]->number == 1) return;
      throw Error(ErrorKind::kUnsupported, "{}: saved with the byte order \"big\"; expected little",
                  path().string());
    }
    fail("nothing is said about the byte order of the machine that saved the file");
  }

  void place_storages(const PickleValue& keys) {
    std::map<std::string_view, std::size_t> elements;  // bytes of one
    for (const PickleValue& value : object_->values()) {
      if (value.kind == Kind::kStorage) elements.emplace(value.text, size_of(value.dtype));
    }
    if (keys.kind != Kind::kList) fail("expected a list of storages behind the object");
    for (const PickleRef key : keys.items) {
      const auto element = key->kind == Kind::kString ? elements.find(key->text) : elements.end();
      if (element == elements.end()) fail("a storage that no tensor of the object lies in");
      storages_.insert_or_assign(std::string(key->text), next_storage(*element));
    }
  }

  std::span<const std::byte> next_storage(const std::pair<const std::string_view, std::size_t>& element) {
    std::uint64_t count = 0;
    if (rest().size() >= kCountSize) std::memcpy(&count, rest().data(), kCountSize);
    if (rest().size() < kCountSize || count > (rest().size() - kCountSize) / element.second) {
      fail("storage {}: {} values of {} bytes at byte {} of a file of {}: is it cut short?",
           printable(element.first), count, element.second, at_, file_size());
    }
    const auto bytes = rest().subspan(kCountSize, count * element.second);
    at_ += kCountSize + bytes.size();
    return bytes;
  }

  MappedFile file_;
  std::size_t at_;
  std::unique_ptr<Pickle> object_;
  std::map<std::string, std::span<const std::byte>, std::less<>> storages_;
};

}  // namespace

bool is_legacy_pth(std::string_view bytes) noexcept { return bytes.starts_with(kMagic); }

std::unique_ptr<PthSource> open_pth_legacy(const std::filesystem::path& path) {
  return std::make_unique<LegacyFile>(path);
}

}  // namespace spikegpt
