// The JSON header of a safetensors file, as it is written: nothing here knows the data behind it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;    // at most kMaxRank extents
  std::vector<std::uint64_t> offsets;  // begin and end [bytes after the header]
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  // in the order of the text
  std::map<std::string, std::string> metadata;
};

// Every tensor has each of its fields exactly once, no name occurs twice. `where` stands in front
// of messages, `first_byte` is the place of the text in the file. Throws Error (kCorruptFile).
// Memory is linear in the text, time n log n.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where, std::size_t first_byte);

}  // namespace spikegpt
