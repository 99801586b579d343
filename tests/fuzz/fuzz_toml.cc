// Any bytes as a file of settings: an Error or an object.
#include <cstddef>
#include <cstdint>

#include "spikegpt/cli/toml_file.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const auto path = test::scratch_file("fuzz.toml", test::text_of(data, size));
  return test::try_input([&] { ensure(cli::read_toml(path).is_object(), "settings that are no object"); });
}
