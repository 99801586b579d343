// All of what a file, a pipe or standard input holds.
#pragma once

#include <filesystem>
#include <string>

namespace spikegpt::cli {

// Reads to the end; "-" is standard input. Waits for who writes into a pipe. Throws Error: kNotFound, kIo,
// kInvalidArgument for a folder, kMemory for what does not end, kCancelled when the user interrupts.
std::string read_whole_input(const std::filesystem::path& path);

}  // namespace spikegpt::cli
