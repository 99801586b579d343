// JSON lines: an object a line, the document in its field "text".
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace spikegpt {

// Receives documents in order; the view is valid during the call only.
using DocumentSink = std::function<void(std::string_view)>;

// Blank lines and empty texts are passed over, other fields ignored. Throws Error: as MappedFile;
// kCorruptFile with the line for what is no JSON object with a "text" in it.
void for_each_json_line(const std::filesystem::path& file, const DocumentSink& sink);

// The same until `sink` returns false; lines behind that one are not read.
void for_each_json_line_until(const std::filesystem::path& file, const std::function<bool(std::string_view)>& sink);

}  // namespace spikegpt
