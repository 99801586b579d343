#include "spikegpt/train/team.h"

#include <algorithm>

namespace spikegpt {
namespace {

// full <-> the ranges of it that lie one after the other in `share`.
template <class Copy>
void for_each_part(const std::vector<FlatRange>& ranges, const Copy& copy) {
  std::int64_t at = 0;
  for (const FlatRange& range : ranges) {
    copy(range, at);
    at += range.size;
  }
}

void spread(const std::vector<FlatRange>& ranges, std::span<const float> share, std::span<float> full) {
  for_each_part(ranges, [&](const FlatRange& range, std::int64_t at) {
    std::copy_n(share.data() + at, range.size, full.data() + range.first);
  });
}

}  // namespace

std::int64_t total_size(const std::vector<FlatRange>& ranges) {
  std::int64_t size = 0;
  for (const FlatRange& range : ranges) size += range.size;
  return size;
}

Team::Team(Communicator& communicator, const ModelConfig& config, const ParameterLayout& layout)
    : communicator_(communicator), exchange_(communicator, make_buckets(config, layout)) {}

void Team::tell(Order order) { communicator_.broadcast(std::as_writable_bytes(std::span(&order, 1))); }

Order Team::listen() {
  Order order;
  communicator_.broadcast(std::as_writable_bytes(std::span(&order, 1)));
  return order;
}

std::vector<float> Team::shares_of(int rank, std::span<const float> full) const {
  const auto& ranges = exchange_.owned(rank);
  std::vector<float> share(static_cast<std::size_t>(total_size(ranges)));
  for_each_part(ranges, [&](const FlatRange& range, std::int64_t at) {
    std::copy_n(full.data() + range.first, range.size, share.data() + at);
  });
  return share;
}

void Team::gather(std::span<const float> share, std::span<float> full) {
  if (!leads()) return send_to_leader(share);
  spread(own(), share, full);
  for (int rank = 1; rank < size(); ++rank) {
    std::vector<float> other(static_cast<std::size_t>(total_size(exchange_.owned(rank))));
    receive(rank, other);
    spread(exchange_.owned(rank), other, full);
  }
}

void Team::scatter(std::span<const float> full, std::span<float> share) {
  if (!leads()) return receive(0, share);
  for (int rank = 1; rank < size(); ++rank) send(rank, shares_of(rank, full));
  const std::vector<float> mine = shares_of(0, full);
  std::copy(mine.begin(), mine.end(), share.begin());
}

}  // namespace spikegpt
