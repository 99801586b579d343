// Nothing that is there already is destroyed: every command asks here before its work begins.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt::cli {

// For a folder that becomes a model, a run or a comparison. Throws Error (kInvalidArgument) where it holds one of the
// files that commands leave in such folders; other files may be there. `tokenizer` is one that may lie there: it is
// written again as it is.
void refuse_used_folder(const std::filesystem::path& folder, std::string_view advice = "choose another folder",
                        const std::filesystem::path& tokenizer = {});

// For a single file. Throws Error (kInvalidArgument) where it exists and is not empty, unless it holds `mark` near its
// start or end, by which its own command knows it, or `force`. A model's own files are not given up for --force
// either. Throws Error (kIo) for what is no regular file, and for a folder that is missing.
void refuse_other_file(const std::filesystem::path& file, std::string_view mark, bool force);

// What is written inside a folder of texts would be read as text. Throws Error (kInvalidArgument).
void refuse_output_inside(const std::filesystem::path& out, std::span<const std::filesystem::path> sources);

// --force, for commands that write files.
void add_force_flag(CLI::App& app, bool& force);

}  // namespace spikegpt::cli
