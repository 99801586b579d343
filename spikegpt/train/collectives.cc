#include "spikegpt/train/collectives.h"

#include <algorithm>
#include <array>
#include <bit>

namespace spikegpt {
namespace {

constexpr std::size_t kTextSize = 1024;

bool halves(int ranks) { return std::has_single_bit(static_cast<unsigned>(ranks)); }

// The values of `count` parts from the first on, which is counted round the ring.
std::span<float> values_of(float* values, std::span<const std::int64_t> parts, int first, int count) {
  const int ranks = static_cast<int>(parts.size()) - 1;
  const auto part = static_cast<std::size_t>((first + ranks) % ranks);
  const std::int64_t begin = parts[part];
  return {values + begin, static_cast<std::size_t>(parts[part + static_cast<std::size_t>(count)] - begin)};
}

// Sends `out` to one rank; adds what another sends to `sum`.
void exchange_and_add(Communicator& communicator, int to, std::span<const float> out, int from, std::span<float> sum,
                      std::vector<float>& received) {
  received.resize(sum.size());
  communicator.exchange(to, std::as_bytes(out), from, std::as_writable_bytes(std::span(received)));
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += received[i];
}

}  // namespace

void reduce_scatter(Communicator& communicator, float* values, std::span<const std::int64_t> parts,
                    std::vector<float>& received) {
  const int ranks = communicator.size();
  const int rank = communicator.rank();
  if (halves(ranks)) {
    for (int half = ranks / 2; half > 0; half /= 2) {
      const int other = rank ^ half;
      const int kept = rank & ~(half - 1);  // first part of the half that this rank still adds up
      exchange_and_add(communicator, other, values_of(values, parts, kept ^ half, half), other,
                       values_of(values, parts, kept, half), received);
    }
    return;
  }
  for (int step = 1; step < ranks; ++step) {
    exchange_and_add(communicator, (rank + 1) % ranks, values_of(values, parts, rank - step, 1),
                     (rank + ranks - 1) % ranks, values_of(values, parts, rank - step - 1, 1), received);
  }
}

void all_gather(Communicator& communicator, float* values, std::span<const std::int64_t> parts) {
  const int ranks = communicator.size();
  const int rank = communicator.rank();
  const auto exchange = [&](int to, std::span<const float> out, int from, std::span<float> in) {
    communicator.exchange(to, std::as_bytes(out), from, std::as_writable_bytes(in));
  };
  if (halves(ranks)) {
    for (int half = 1; half < ranks; half *= 2) {
      const int known = rank & ~(half - 1);
      exchange(rank ^ half, values_of(values, parts, known, half), rank ^ half,
               values_of(values, parts, known ^ half, half));
    }
    return;
  }
  for (int step = 0; step + 1 < ranks; ++step) {
    exchange((rank + 1) % ranks, values_of(values, parts, rank - step, 1), (rank + ranks - 1) % ranks,
             values_of(values, parts, rank - step - 1, 1));
  }
}

std::string first_text(Communicator& communicator, const std::string& own) {
  std::array<char, kTextSize> found = {};
  own.copy(found.data(), found.size() - 1);
  if (communicator.rank() > 0) {
    communicator.send(0, std::as_bytes(std::span(found)));
  } else {
    std::array<char, kTextSize> other = {};
    for (int rank = 1; rank < communicator.size(); ++rank) {
      communicator.receive(rank, std::as_writable_bytes(std::span(other)));
      if (found.front() == '\0') found = other;
    }
  }
  communicator.broadcast(std::as_writable_bytes(std::span(found)));
  return found.data();
}

}  // namespace spikegpt
