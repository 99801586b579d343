// Any bytes as NAME.idx and NAME.bin: an Error, or tokens of which all can be read.
#include <cstddef>
#include <cstdint>
#include <algorithm>
#include <cstring>
#include <vector>

#include "spikegpt/data/indexed_dataset.h"
#include "tests/fuzz/fuzz_input.h"

// The first four bytes are the size of the .idx.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  std::string_view input = test::text_of(data, size);
  std::uint32_t length = 0;
  if (input.size() < sizeof length) return 0;
  std::memcpy(&length, input.data(), sizeof length);
  input.remove_prefix(sizeof length);
  const std::size_t index = std::min<std::size_t>(length, input.size());
  const auto path = test::scratch_file("fuzz.idx", input.substr(0, index));
  test::scratch_file("fuzz.bin", input.substr(index));
  return test::try_input([&] {
    const IndexedDataset dataset(path, 100);
    std::vector<TokenId> tokens(static_cast<std::size_t>(dataset.tokens()->size()));
    dataset.tokens()->read(0, tokens);
    for (const TokenId id : tokens) ensure(id >= 0 && id < 100, "a token outside the vocabulary");
  });
}
