#include "tests/support/places.h"

namespace spikegpt::test {

std::filesystem::path source_folder() { return SPIKEGPT_SOURCE_FOLDER; }
std::filesystem::path program_file() { return SPIKEGPT_PROGRAM; }
std::filesystem::path tick_file() { return SPIKEGPT_TICK; }

}  // namespace spikegpt::test
