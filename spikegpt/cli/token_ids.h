// Token ids as people write them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/data/text_corpus.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {

// Numbers separated by commas or white space. Throws Error (kInvalidArgument) that begins with `where`.
std::vector<TokenId> parse_token_ids(const std::string& where, std::string_view text);

// Says on standard error what of a text the vocabulary lacks, if anything, and what becomes of it. `where`
// names the part of the text that was looked at.
void warn_of_unknown(const std::string& where, const Unknowns& unknowns, const Tokenizer& tokenizer);

// The part of a source that was read, when not more than the first `most_tokens` were asked for.
std::string part_name(const std::filesystem::path& source, const EncodedFile& text, std::int64_t most_tokens,
                      const Tokenizer& tokenizer);

// The first tokens of a text file, at most `limit`; 0 = all. Warns of what of them is unknown. Throws Error
// as encode_text_file.
std::vector<TokenId> read_first_tokens(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                       std::int64_t limit);

}  // namespace spikegpt::cli
