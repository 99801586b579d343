// Any bytes as a .safetensors file: an Error or tensors that keep their promises.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "spikegpt/core/error.h"
#include "spikegpt/model/safetensors.h"
#include "tests/fuzz/well_formed.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    spikegpt::test::check_well_formed(
        spikegpt::parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz.safetensors", nullptr));
  } catch (const spikegpt::Error&) {
  }
  return 0;
}
