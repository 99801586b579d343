// Any bytes as vocab.json, the characters of a model: an Error, or a tokenizer that encodes and decodes.
#include "tests/fuzz/try_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return spikegpt::test::try_tokenizer("vocab.json", data, size);
}
