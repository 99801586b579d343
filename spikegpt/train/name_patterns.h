// Parameters chosen by name.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "spikegpt/model/parameters.h"

namespace spikegpt {

// Which parameters of the layout have a name that fits one of the patterns: as file names in a shell, with *, ? and
// [a-z], for example "blocks.[0-5].att.*". One entry a parameter. Throws Error (kInvalidArgument) that names `flag`
// and a pattern that fits none.
std::vector<bool> matching_parameters(const ParameterLayout& layout, std::span<const std::string> patterns,
                                      std::string_view flag);

}  // namespace spikegpt
