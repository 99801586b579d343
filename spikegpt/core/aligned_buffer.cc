#include "spikegpt/core/aligned_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

AlignedBytes::AlignedBytes(std::size_t size) : size_(size) {
  if (size == 0) return;
  const bool large = size >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : kAlignment;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(alignment, round_up(size, alignment)));
  if (memory == nullptr) {
    throw Error(ErrorKind::kMemory, "could not reserve {:.1f} MB of memory; try a smaller model, batch or context",
                static_cast<double>(size) / 1e6);
  }
  data_.reset(memory);
  // Large blocks of a fresh mapping are zero already, but the allocator does not promise it.
  if (large) madvise(memory, round_up(size, kHugePage), MADV_HUGEPAGE);
  std::memset(memory, 0, size);
}

void AlignedBytes::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

std::byte* Arena::take_bytes(std::size_t bytes) {
  const std::size_t start = used_;
  used_ += round_up(bytes, kAlignment);
  peak_ = std::max(peak_, used_);
  if (memory_ == nullptr) return nullptr;
  ensure(used_ <= size_, "arena smaller than the requests made to it");
  return memory_ + start;
}

}  // namespace spikegpt
