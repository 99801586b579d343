// Configuration files.
#pragma once

#include <filesystem>

#include "spikegpt/core/json_fields.h"

namespace spikegpt::cli {

// A flat TOML file as a JSON object; the word "none" becomes null. Throws Error: kNotFound, kIo, or
// kInvalidArgument with line and column.
Json read_toml(const std::filesystem::path& path);

}  // namespace spikegpt::cli
