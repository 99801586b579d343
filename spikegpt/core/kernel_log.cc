#include "spikegpt/core/kernel_log.h"

#include <algorithm>

namespace spikegpt {

void KernelLog::add(const KernelWork& work, double seconds) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.work.name == work.name && entry.work.out == work.out && entry.work.in == work.in;
  });
  if (found == entries_.end()) {
    entries_.push_back({work, 1, seconds});
    return;
  }
  found->work.operations += work.operations;
  found->work.bytes += work.bytes;
  ++found->calls;
  found->seconds += seconds;
}

}  // namespace spikegpt
