#include "spikegpt/data/indexed_writer.h"

#include <algorithm>
#include <limits>

#include "spikegpt/core/error.h"
#include "spikegpt/data/documents.h"
#include "spikegpt/data/indexed_dataset.h"

namespace spikegpt {
namespace {

constexpr std::size_t kBufferBytes = 1 << 18;
constexpr std::int64_t kLongestSequence = std::numeric_limits<std::int32_t>::max();

template <class T>
void write_value(FileWriter& file, const T& value) {
  file.write(std::as_bytes(std::span(&value, 1)));
}

template <class T>
void write_values(FileWriter& file, const std::vector<T>& values) {
  file.write(std::as_bytes(std::span(values)));
}

}  // namespace

void IndexedWriter::add(std::span<const TokenId> ids) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size_) {
      throw Error(ErrorKind::kInvalidArgument, "token {} has the id {}, outside the vocabulary of {}", tokens_, id,
                  vocab_size_);
    }
    const std::size_t width = is_narrow() ? 2 : 4;
    const auto* bytes = reinterpret_cast<const std::byte*>(&id);  // little-endian: the low ones first
    buffer_.insert(buffer_.end(), bytes, bytes + width);
    ++tokens_;
    if (++open_ == kLongestSequence) end_sequence();
    if (buffer_.size() >= kBufferBytes) flush();
  }
}

void IndexedWriter::flush() {
  bin_.write(buffer_);
  buffer_.clear();
}

void IndexedWriter::end_sequence() {
  lengths_.push_back(static_cast<std::int32_t>(open_));
  open_ = 0;
}

void IndexedWriter::end_document() {
  if (open_ > 0) end_sequence();
  const auto sequences = static_cast<std::int64_t>(lengths_.size());
  if (sequences > starts_.back()) starts_.push_back(sequences);
}

// What the function that owns the file may do and its callers may not.
struct IndexedWriterAccess {
  static IndexedWriter make(FileWriter& bin, std::int64_t vocab_size) { return {bin, vocab_size}; }

  static void finish(IndexedWriter& writer) {
    writer.end_document();
    writer.flush();
  }

  static void write_index(const IndexedWriter& writer, FileWriter& index) {
    using namespace indexed_format;
    index.write(std::as_bytes(std::span(kMagic, kMagicSize)));
    write_value(index, kVersion);
    write_value(index, writer.is_narrow() ? kUint16 : kInt32);
    write_value(index, static_cast<std::uint64_t>(writer.lengths_.size()));
    write_value(index, static_cast<std::uint64_t>(writer.starts_.size()));
    write_values(index, writer.lengths_);
    const std::int64_t width = writer.is_narrow() ? 2 : 4;
    std::vector<std::int64_t> offsets;
    std::int64_t offset = 0;
    for (const std::int32_t length : writer.lengths_) {
      offsets.push_back(offset);
      offset += length * width;
    }
    write_values(index, offsets);
    write_values(index, writer.starts_);
  }
};

void write_indexed_dataset(const std::filesystem::path& name, std::int64_t vocab_size,
                           const std::function<void(IndexedWriter&)>& fill) {
  const IndexedPaths paths = indexed_paths(name);
  write_atomically(paths.bin, [&](FileWriter& bin) {
    IndexedWriter writer = IndexedWriterAccess::make(bin, vocab_size);
    fill(writer);
    IndexedWriterAccess::finish(writer);
    // All tokens are written by now: a full disk leaves both earlier files as they were.
    write_atomically(paths.idx, [&](FileWriter& index) { IndexedWriterAccess::write_index(writer, index); });
  });
}

TokenizeSummary tokenize_to_files(const std::vector<std::filesystem::path>& sources, const Tokenizer& tokenizer,
                                  const std::filesystem::path& name,
                                  const std::function<void(const TokenizeSummary&)>& progress) {
  TokenizeSummary summary;
  const std::vector<TokenId> separator = separator_of(tokenizer);
  write_indexed_dataset(name, tokenizer.vocab_size(), [&](IndexedWriter& writer) {
    const auto encode = [&](std::string_view document, const std::string& where) {
      TextCursor cursor(document);
      tokenizer.encode_into(
          document, [&](std::span<const TokenId> ids) { writer.add(ids); },
          [&](const Unknown& unknown) {
            summary.unknowns.add(unknown.shown, where + place_in_text(cursor, unknown));
          });
      writer.add(separator);
      writer.end_document();
      summary.documents = writer.documents();
      summary.tokens = writer.tokens();
      summary.bytes += static_cast<std::int64_t>(document.size());
      if (progress) progress(summary);
    };
    for (const auto& source : sources) {
      for (const auto& file : files_of(source)) {
        std::int64_t number = 0;
        for_each_document(file, check_for(tokenizer), [&](std::string_view document) {
          encode(document, document_name(file, ++number));
        });
      }
    }
  });
  return summary;
}

}  // namespace spikegpt
