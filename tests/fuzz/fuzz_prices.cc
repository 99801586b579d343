// Any bytes as a table of prices: an Error or prices of which none is negative.
#include <cstddef>
#include <cstdint>

#include "spikegpt/energy/prices.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const auto path = test::scratch_file("fuzz.json", test::text_of(data, size));
  return test::try_input([&] { ensure(load_prices(path.string()).mac >= 0.0, "a negative price"); });
}
