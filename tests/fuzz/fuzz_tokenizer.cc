// Any bytes as tokenizer.json: an Error, or a tokenizer that encodes and decodes.
#include <cstddef>
#include <cstdint>

#include "spikegpt/text/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

constexpr std::string_view kText =
    "The cat's 42 cats,\r\n  na\xC3\xAFve \xE2\x82\xAC\xF0\x9F\x90\x88 <|endoftext|> \xFF end";

void use(const spikegpt::Tokenizer& tokenizer) {
  const spikegpt::Encoding encoding = tokenizer.encode(kText);
  for (const spikegpt::TokenId id : encoding.ids) {
    spikegpt::ensure(id >= 0 && id < tokenizer.vocab_size(), "an id outside the vocabulary");
  }
  tokenizer.decode(encoding.ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const auto path = test::scratch_file("tokenizer.json", test::text_of(data, size));
  return test::try_input([&] { use(*load_tokenizer(path)); });
}
