// What the fuzzers share: inputs as files, and errors as the one thing that a reader may throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "spikegpt/core/error.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {

// Writes `bytes` as the file `name` of a folder that this process has to itself.
inline std::filesystem::path scratch_file(std::string_view name, std::string_view bytes) {
  static const TemporaryDirectory folder;
  const std::filesystem::path path = folder / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes a byte that chooses between `choices` from the front of the input; 0 when there is none.
inline std::size_t take_choice(std::string_view& input, std::size_t choices) {
  if (input.empty()) return 0;
  const auto choice = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return choice % choices;
}

// Runs `read`, which may throw Error. Anything else ends the fuzzer. The result of LLVMFuzzerTestOneInput.
template <class Read>
int try_input(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    ensure(*error.what() != '\0', "an error that says nothing");
  }
  return 0;
}

}  // namespace spikegpt::test
