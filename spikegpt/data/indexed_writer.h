// Writes tokens as NAME.bin and NAME.idx (indexed_dataset.h), and whole texts through a tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "spikegpt/core/files.h"
#include "spikegpt/data/token_stream.h"

namespace spikegpt {

// Receives tokens while the files are being written.
class IndexedWriter {
 public:
  // Throws Error: kInvalidArgument for an id outside the vocabulary, kIo.
  void add(std::span<const TokenId> ids);
  // Ends a document; one without tokens leaves no trace.
  void end_document();

  std::int64_t tokens() const noexcept { return tokens_; }
  std::int64_t documents() const noexcept { return static_cast<std::int64_t>(starts_.size()) - 1; }

 private:
  friend struct IndexedWriterAccess;
  IndexedWriter(FileWriter& bin, std::int64_t vocab_size) : bin_(bin), vocab_size_(vocab_size) {}
  bool is_narrow() const noexcept { return vocab_size_ <= 65536; }
  void flush();
  void end_sequence();

  FileWriter& bin_;
  std::int64_t vocab_size_;
  std::vector<std::byte> buffer_;
  std::vector<std::int32_t> lengths_;       // of the sequences
  std::vector<std::int64_t> starts_ = {0};  // of the documents, and their end
  std::int64_t open_ = 0;                   // tokens of the sequence that is not ended
  std::int64_t tokens_ = 0;
};

// Makes both files from what `fill` hands over; they appear when it is done, whole or not at all.
// uint16 where the vocabulary allows it, else int32. Throws what `fill` throws, and Error (kIo).
void write_indexed_dataset(const std::filesystem::path& name, std::int64_t vocab_size,
                           const std::function<void(IndexedWriter&)>& fill);

struct TokenizeSummary {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;  // of text
  Unknowns unknowns;
};

// Encodes texts, folders and JSON lines, with the tokenizer's end of text behind every document
// (documents.h). Memory does not grow with the corpus but for 12 bytes a document. `progress` is
// called after every document. Throws Error as for_each_document.
TokenizeSummary tokenize_to_files(const std::vector<std::filesystem::path>& sources, const Tokenizer& tokenizer,
                                  const std::filesystem::path& name,
                                  const std::function<void(const TokenizeSummary&)>& progress = {});

}  // namespace spikegpt
