#include "spikegpt/data/indexed_dataset.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"

namespace spikegpt {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

template <class Stored>
class MappedStream final : public TokenStream {
 public:
  MappedStream(MappedFile file, std::int64_t vocab_size) : file_(std::move(file)), vocab_size_(vocab_size) {}
  std::int64_t size() const noexcept override {
    return static_cast<std::int64_t>(file_.bytes().size() / sizeof(Stored));
  }

 private:
  void read_checked(std::int64_t first, std::span<TokenId> out) const override {
    const std::byte* from = file_.bytes().data() + static_cast<std::size_t>(first) * sizeof(Stored);
    for (std::size_t i = 0; i < out.size(); ++i) {
      Stored token;
      std::memcpy(&token, from + i * sizeof(Stored), sizeof(Stored));
      out[i] = static_cast<TokenId>(token);
      if (out[i] < 0 || out[i] >= vocab_size_) [[unlikely]] {
        throw Error(ErrorKind::kCorruptFile,
                    "{}: token {} has the id {}, the tokenizer has {} tokens: these data were made "
                    "with another tokenizer",
                    file_.path().string(), first + static_cast<std::int64_t>(i), out[i], vocab_size_);
      }
    }
  }

  MappedFile file_;
  std::int64_t vocab_size_;
};

// Reads an .idx and knows where it is, for messages.
class IndexReader {
 public:
  explicit IndexReader(const std::filesystem::path& path) : file_(path) {
    refuse_foreign(file_.text(), path);
  }

  template <class T>
  T at(std::size_t offset) const {
    T value;
    std::memcpy(&value, file_.bytes().data() + offset, sizeof(T));
    return value;
  }
  std::size_t size() const { return file_.bytes().size(); }
  std::string name() const { return file_.path().string(); }
  bool has_magic() const {
    return std::memcmp(file_.bytes().data(), indexed_format::kMagic, indexed_format::kMagicSize) == 0;
  }

 private:
  MappedFile file_;
};

struct Layout {
  std::uint8_t dtype_code = 0;
  std::size_t item_size = 0;
  std::uint64_t sequences = 0;
  std::uint64_t entries = 0;  // of the document index
  std::size_t lengths = 0;    // byte offsets of the three tables
  std::size_t offsets = 0;
  std::size_t documents = 0;
};

Layout read_header(const IndexReader& index) {
  using namespace indexed_format;
  if (index.size() < kHeaderSize || !index.has_magic()) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: no MMIDIDX index: it does not start with that word and a header of {} bytes", index.name(),
                kHeaderSize);
  }
  const auto version = index.at<std::uint64_t>(kMagicSize);
  if (version != kVersion) {
    throw Error(ErrorKind::kUnsupported, "{}: version {} of the index at byte {}; this program reads 1", index.name(),
                version, kMagicSize);
  }
  Layout layout;
  layout.dtype_code = index.at<std::uint8_t>(kMagicSize + 8);
  if (layout.dtype_code != kUint16 && layout.dtype_code != kInt32) {
    throw Error(ErrorKind::kUnsupported,
                "{}: tokens of type {} at byte {}; this program reads 8 (uint16) and 4 (int32)", index.name(),
                layout.dtype_code, kMagicSize + 8);
  }
  layout.item_size = layout.dtype_code == kUint16 ? 2 : 4;
  layout.sequences = index.at<std::uint64_t>(kMagicSize + 9);
  layout.entries = index.at<std::uint64_t>(kMagicSize + 17);
  return layout;
}

// Places the tables, whose sizes must add up to the file. The counts may be anything.
void place_tables(const IndexReader& index, Layout& layout) {
  const std::uint64_t most = index.size() / 8;
  const bool possible = layout.sequences <= most && layout.entries <= most;
  layout.lengths = indexed_format::kHeaderSize;
  layout.offsets = layout.lengths + 4 * layout.sequences;
  layout.documents = layout.offsets + 8 * layout.sequences;
  const std::size_t end = layout.documents + 8 * layout.entries;
  if (!possible || end != index.size()) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: the file has {} bytes, its header speaks of {} sequences and {} entries of the "
                "document index: it was cut short or is none",
                index.name(), index.size(), layout.sequences, layout.entries);
  }
}

// Sequences must fill the .bin without gaps or overlaps.
void check_sequences(const IndexReader& index, const Layout& layout, const MappedFile& bin, std::int64_t most_tokens) {
  const std::size_t bin_size = bin.bytes().size();
  const std::uint64_t enough = static_cast<std::uint64_t>(most_tokens) > bin_size / layout.item_size
                                   ? bin_size + 1
                                   : static_cast<std::uint64_t>(most_tokens) * layout.item_size;
  std::uint64_t expected = 0;
  for (std::uint64_t i = 0; i < layout.sequences; ++i) {
    const std::size_t length_at = layout.lengths + 4 * i;
    const std::size_t offset_at = layout.offsets + 8 * i;
    const auto length = index.at<std::int32_t>(length_at);
    const auto offset = index.at<std::int64_t>(offset_at);
    if (length < 0) {
      throw Error(ErrorKind::kCorruptFile, "{}: sequence {} has the length {}, at byte {}", index.name(), i, length,
                  length_at);
    }
    if (offset != static_cast<std::int64_t>(expected)) {
      throw Error(ErrorKind::kCorruptFile, "{}: sequence {} starts at {}, the one before ends at {}, at byte {}",
                  index.name(), i, offset, expected, offset_at);
    }
    expected += static_cast<std::uint64_t>(length) * layout.item_size;
    if (expected > bin_size) break;
    if (expected >= enough) return;
  }
  if (expected == bin_size) return;
  throw Error(ErrorKind::kCorruptFile,
              "{} speaks of {}{} bytes of tokens, {} has {}: they do not belong together, or one was "
              "cut short",
              index.name(), expected > bin_size ? "at least " : "", expected, bin.path().string(), bin_size);
}

void check_documents(const IndexReader& index, const Layout& layout) {
  std::int64_t before = 0;
  for (std::uint64_t i = 0; i < layout.entries; ++i) {
    const std::size_t at = layout.documents + 8 * i;
    const auto first = index.at<std::int64_t>(at);
    const bool last = i + 1 == layout.entries;
    const auto count = static_cast<std::int64_t>(layout.sequences);
    if (first < before || first > count || (i == 0 && first != 0) || (last && first != count)) {
      throw Error(ErrorKind::kCorruptFile,
                  "{}: document {} starts at sequence {}, at byte {}; expected a rise from 0 to {}", index.name(), i,
                  first, at, count);
    }
    before = first;
  }
}

}  // namespace

IndexedPaths indexed_paths(const std::filesystem::path& name) {
  const bool named = name.extension() == ".bin" || name.extension() == ".idx";
  const std::filesystem::path base = named ? std::filesystem::path(name).replace_extension() : name;
  IndexedPaths paths{base, base};
  paths.bin += ".bin";
  paths.idx += ".idx";
  return paths;
}

IndexedDataset::IndexedDataset(const std::filesystem::path& name, std::int64_t vocab_size, std::int64_t most_tokens) {
  const IndexedPaths paths = indexed_paths(name);
  const IndexReader index(paths.idx);
  Layout layout = read_header(index);
  place_tables(index, layout);
  MappedFile bin(paths.bin);
  refuse_foreign_data(bin.text(), paths.bin, ForeignData::kInBytes);
  check_sequences(index, layout, bin, most_tokens);
  if (most_tokens >= static_cast<std::int64_t>(bin.bytes().size() / layout.item_size)) check_documents(index, layout);
  sequences_ = static_cast<std::int64_t>(layout.sequences);
  documents_ = layout.entries == 0 ? 0 : static_cast<std::int64_t>(layout.entries) - 1;
  if (layout.dtype_code == indexed_format::kUint16) {
    dtype_ = DType::kU16;
    tokens_ = std::make_shared<MappedStream<std::uint16_t>>(std::move(bin), vocab_size);
  } else {
    dtype_ = DType::kI32;
    tokens_ = std::make_shared<MappedStream<std::int32_t>>(std::move(bin), vocab_size);
  }
}

}  // namespace spikegpt
