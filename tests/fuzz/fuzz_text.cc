// Any bytes as text in UTF-8 or UTF-16, and as tokens that come one by one: the same text however it is cut.
#include <cstddef>
#include <cstdint>

#include "spikegpt/text/byte_tokenizer.h"
#include "spikegpt/text/streaming_decoder.h"
#include "spikegpt/text/utf8.h"
#include "spikegpt/text/vocabulary_file.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

// Whole characters at every token, and well-formed text in the end.
void decode_in_pieces(std::string_view bytes) {
  const spikegpt::ByteTokenizer tokenizer;
  spikegpt::StreamingDecoder decoder(tokenizer);
  std::string text;
  for (const char byte : bytes) {
    const std::string piece = decoder.push(static_cast<unsigned char>(byte));
    spikegpt::ensure(!spikegpt::find_invalid_utf8(piece), "half a character");
    text += piece;
  }
  text += decoder.finish();
  std::string whole;
  if (spikegpt::append_well_formed(whole, bytes) > 0) whole += "\xEF\xBF\xBD";
  spikegpt::ensure(text == whole, "another text in pieces than at once");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const std::string_view input = test::text_of(data, size);
  decode_in_pieces(input);
  return test::try_input([&] {
    const std::string text(PlainText(input, "fuzz.txt").text());
    ensure(text.size() <= 2 * size, "more text than in the file");
  });
}
