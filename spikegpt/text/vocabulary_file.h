// vocab.json of character models: {"0": "\n", "1": " ", ...}, as the public training code writes
// it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

// Reads UTF-8 or UTF-16 (plain_text.h). The code point of every id.
// Throws Error: kCorruptFile for what is no such vocabulary (ids with gaps, an entry that is not
// one character, a character or id twice), kUnsupported for the token -> id vocabulary of a BPE.
std::vector<char32_t> read_character_vocabulary(const std::filesystem::path& file);

// Writes UTF-8.
void write_character_vocabulary(const std::filesystem::path& file, const std::vector<char32_t>& vocabulary);

}  // namespace spikegpt
