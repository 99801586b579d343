#include "spikegpt/train/name_patterns.h"

#include <fnmatch.h>

#include "spikegpt/core/error.h"

namespace spikegpt {

std::vector<bool> matching_parameters(const ParameterLayout& layout, std::span<const std::string> patterns,
                                      std::string_view flag) {
  std::vector<bool> matching(layout.infos().size());
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (std::size_t i = 0; i < matching.size(); ++i) {
      if (fnmatch(pattern.c_str(), layout.infos()[i].name.c_str(), 0) != 0) continue;
      matching[i] = any = true;
    }
    if (any) continue;
    throw Error(ErrorKind::kInvalidArgument,
                "{} \"{}\" fits no parameter; they have names like {} (all: spikegpt inspect DIR)", flag, pattern,
                layout.infos().back().name);
  }
  return matching;
}

}  // namespace spikegpt
