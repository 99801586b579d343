// Any bytes as JSON lines: an Error or documents.
#include <cstddef>
#include <cstdint>

#include "spikegpt/data/json_lines.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const auto path = test::scratch_file("fuzz.jsonl", test::text_of(data, size));
  return test::try_input([&] {
    std::size_t total = 0;
    for_each_json_line(path, [&](std::string_view document) { total += document.size(); });
    ensure(total <= 3 * size, "more text than in the file");
  });
}
