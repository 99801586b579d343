// Any bytes as a table of labelled texts, the first choosing its kind: an Error, or examples with labels.
#include <cstddef>
#include <cstdint>

#include <array>

#include "spikegpt/data/labelled_set.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  constexpr std::array<const char*, 4> kNames = {"fuzz.tsv", "fuzz.csv", "fuzz.jsonl", "fuzz.txt"};
  std::string_view input = test::text_of(data, size);
  const char* name = kNames[test::take_choice(input, kNames.size())];
  const auto path = test::scratch_file(name, input);
  return test::try_input([&] {
    const LabelledSet set = read_labelled(path);
    for (const Example& example : set.examples) {
      ensure(example.label >= 0 && static_cast<std::size_t>(example.label) < set.labels.size(),
             "a label of no name");
    }
  });
}
