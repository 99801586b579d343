// vocab.json of character models: {"0": "\n", "1": " ", ...}, as the public training code writes
// it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

// Reads UTF-8, or UTF-16 of either byte order with a byte order mark. The code point of every id.
// Throws Error: kCorruptFile for what is no such vocabulary (ids with gaps, an entry that is not
// one character, a character or id twice), kUnsupported for the token -> id vocabulary of a BPE.
std::vector<char32_t> read_character_vocabulary(const std::filesystem::path& file);

// Writes UTF-8.
void write_character_vocabulary(const std::filesystem::path& file, const std::vector<char32_t>& vocabulary);

// UTF-16 (with byte order mark) or UTF-8 (with or without) to plain UTF-8. Throws Error
// (kCorruptFile) naming `source` and the byte for a lone surrogate or half a unit.
std::string to_plain_utf8(std::string_view bytes, std::string_view source);

}  // namespace spikegpt
