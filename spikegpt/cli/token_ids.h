// Token ids as people write them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {

// Numbers separated by commas or white space. Throws Error (kInvalidArgument) that begins with `where`.
std::vector<TokenId> parse_token_ids(const std::string& where, std::string_view text);

}  // namespace spikegpt::cli
