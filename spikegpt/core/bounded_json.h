// JSON of files that anybody may have written.
#pragma once

#include <filesystem>
#include <string_view>

#include "spikegpt/core/json_fields.h"

namespace spikegpt {

// Nothing of ours nests deeper; what does would overflow the stack of whoever prints or copies it.
inline constexpr int kMaxJsonDepth = 64;

// Discarded (is_discarded) when `text` is no JSON or nests deeper than kMaxJsonDepth.
Json parse_bounded_json(std::string_view text);

// The same of a file in UTF-8 or UTF-16 (plain_text.h). Throws Error as MappedFile and PlainText.
Json read_json_file(const std::filesystem::path& path);

}  // namespace spikegpt
