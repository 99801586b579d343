// A small tokenizer.json for tests to spoil.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "spikegpt/text/byte_characters.h"

namespace spikegpt {

// Ids 0 ... 255 are the bytes, then one for each merge ("a b" in byte characters), then
// <|endoftext|> as an added token.
inline nlohmann::json small_bpe(const std::vector<std::string>& merges) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[spell_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  for (const std::string& merge : merges) {
    const std::size_t space = merge.find(' ');
    const std::size_t id = vocabulary.size();
    vocabulary[merge.substr(0, space) + merge.substr(space + 1)] = id;
  }
  const std::size_t end = vocabulary.size();
  const nlohmann::json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  return {{"version", "1.0"},
          {"added_tokens", {{{"id", end}, {"content", "<|endoftext|>"}, {"special", true}, {"normalized", false}}}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", byte_level},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
}

}  // namespace spikegpt
