// What the fuzzers of tokenizers do with a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "spikegpt/text/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

namespace spikegpt::test {

// Reads the input as the file `name`: an Error, or a tokenizer that encodes and decodes.
inline int try_tokenizer(std::string_view name, const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kText =
      "The cat's 42 cats,\r\n  na\xC3\xAFve \xE2\x82\xAC\xF0\x9F\x90\x88 <|endoftext|> \xFF end";
  const auto path = scratch_file(name, text_of(data, size));
  return try_input([&] {
    const auto tokenizer = load_tokenizer(path);
    const Encoding encoding = tokenizer->encode(kText);
    for (const TokenId id : encoding.ids) {
      ensure(id >= 0 && id < tokenizer->vocab_size(), "an id outside the vocabulary");
    }
    tokenizer->decode(encoding.ids);
  });
}

}  // namespace spikegpt::test
