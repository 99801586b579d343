// Tokens in the files of Megatron and GPT-NeoX: NAME.bin holds them, NAME.idx says where what is
// ("MMIDIDX", SPEC.md 9). Read by memory map, so a corpus may be larger than memory.
#pragma once

#include <cstdint>
#include <filesystem>

#include "spikegpt/core/dtype.h"
#include "spikegpt/data/token_stream.h"

namespace spikegpt {

struct IndexedPaths {
  std::filesystem::path bin;
  std::filesystem::path idx;
};
// Of NAME, NAME.bin or NAME.idx.
IndexedPaths indexed_paths(const std::filesystem::path& name);

// The layout of an .idx, little-endian and without padding: magic, u64 version, u8 dtype, u64
// sequences, u64 entries of the document index; then i32 length [sequences], i64 byte offset in the
// .bin [sequences], i64 first sequence of each document and their number [entries].
namespace indexed_format {
inline constexpr char kMagic[] = "MMIDIDX\0";  // with the final zero nine bytes
inline constexpr std::size_t kMagicSize = 9;
inline constexpr std::uint64_t kVersion = 1;
inline constexpr std::uint8_t kInt32 = 4;
inline constexpr std::uint8_t kUint16 = 8;
inline constexpr std::size_t kHeaderSize = kMagicSize + 8 + 1 + 8 + 8;
}  // namespace indexed_format

class IndexedDataset {
 public:
  // Checks the whole index against the .bin. Throws Error: as MappedFile; kCorruptFile with file
  // and byte where they contradict themselves or each other; kUnsupported for types of tokens other
  // than uint16 and int32. Reading from `tokens` throws Error (kCorruptFile) for an id outside [0,
  // vocab_size). Where only the first `most_tokens` will be read, only their part of the index is checked.
  IndexedDataset(const std::filesystem::path& name, std::int64_t vocab_size, std::int64_t most_tokens = INT64_MAX);

  // All sequences one behind the other.
  const TokenStreamPtr& tokens() const noexcept { return tokens_; }
  std::int64_t sequences() const noexcept { return sequences_; }
  std::int64_t documents() const noexcept { return documents_; }
  DType dtype() const noexcept { return dtype_; }

 private:
  TokenStreamPtr tokens_;
  std::int64_t sequences_ = 0;
  std::int64_t documents_ = 0;
  DType dtype_ = DType::kU16;
};

}  // namespace spikegpt
