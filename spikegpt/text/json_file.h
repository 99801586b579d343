// A JSON file of a tokenizer, read with its faults named.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace spikegpt {

// UTF-8 or UTF-16 (plain_text.h). Throws Error: as MappedFile; kCorruptFile with the byte
// for ill-formed JSON, for a key that an object holds twice, and for nesting deeper than 64.
nlohmann::json parse_json_file(const std::filesystem::path& file);

// The same for a text at hand, plain UTF-8; messages call it `name`.
nlohmann::json parse_json(std::string_view text, const std::string& name);

// A text from a file as a message may show it: shortened, control characters and ill-formed bytes
// replaced.
std::string show_text(std::string_view text);

}  // namespace spikegpt
