#include "spikegpt/text/byte_tokenizer.h"

#include <algorithm>
#include <array>

#include "spikegpt/core/files.h"

namespace spikegpt {
namespace {

constexpr std::size_t kBlock = 1 << 14;  // ids handed over at once

std::vector<std::string> all_bytes() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  return bytes;
}

}  // namespace

ByteTokenizer::ByteTokenizer() : Tokenizer(all_bytes()) {}

void ByteTokenizer::encode_into(std::string_view text, const TokenSink& sink, const UnknownSink&) const {
  std::array<TokenId, kBlock> block;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, kBlock);
    std::transform(part.begin(), part.end(), block.begin(),
                   [](char byte) { return static_cast<TokenId>(static_cast<unsigned char>(byte)); });
    sink(std::span(block).first(part.size()));
    text.remove_prefix(part.size());
  }
}

void ByteTokenizer::save(const std::filesystem::path& folder) const {
  write_text_atomically(folder / "tokenizer.json", "{\"spikegpt_tokenizer\": \"bytes\"}\n");
}

}  // namespace spikegpt
