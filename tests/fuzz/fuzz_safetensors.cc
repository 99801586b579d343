// Any bytes as a .safetensors file: an Error or tensors that keep their promises.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "spikegpt/model/safetensors.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/well_formed.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  return test::try_input([&] {
    test::check_well_formed(
        parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz.safetensors", nullptr));
  });
}
