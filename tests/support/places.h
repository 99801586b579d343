// Where this checkout and its program are. The only code that is told absolute paths, so that a compiler cache serves
// the tests of one clone to another.
#pragma once

#include <filesystem>

namespace spikegpt::test {

std::filesystem::path source_folder();
// The program `spikegpt` of this build.
std::filesystem::path program_file();
// tick.cc, to be preloaded.
std::filesystem::path tick_file();

}  // namespace spikegpt::test
