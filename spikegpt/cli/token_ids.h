// Token ids as people write them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {

// Numbers separated by commas or white space. Throws Error (kInvalidArgument) that begins with `where`.
std::vector<TokenId> parse_token_ids(const std::string& where, std::string_view text);

// The first tokens of a text file, at most `limit`; 0 = all. Throws Error as encode_text_file.
std::vector<TokenId> read_first_tokens(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                       std::int64_t limit);

}  // namespace spikegpt::cli
