// JSON of files that anybody may have written.
#pragma once

#include <string_view>

#include "spikegpt/core/json_fields.h"

namespace spikegpt {

// Nothing of ours nests deeper; what does would overflow the stack of whoever prints or copies it.
inline constexpr int kMaxJsonDepth = 64;

// Discarded (is_discarded) when `text` is no JSON or nests deeper than kMaxJsonDepth.
Json parse_bounded_json(std::string_view text);

}  // namespace spikegpt
