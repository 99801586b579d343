// The machine this runs on.
#pragma once

#include <unistd.h>

#include <array>
#include <string>

namespace spikegpt {

// Empty when the system does not say.
inline std::string host_name() {
  std::array<char, 256> host = {};
  return gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

}  // namespace spikegpt
