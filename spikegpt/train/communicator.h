// The processes that train one model together. What passes between them is bytes and sums; train/ knows no more of MPI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spikegpt {

// Every process calls the collectives in the same order with the same sizes; one thread of it at a time. A failure of
// the network, or of another process, ends the process: there is nothing to return to.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const noexcept = 0;  // 0 leads
  virtual int size() const noexcept = 0;

  // Rank 0's bytes, everywhere.
  virtual void broadcast(std::span<std::byte> bytes) = 0;
  // The sums over all ranks, everywhere.
  virtual void sum(std::span<double> values) = 0;
  // Rank r's part of `values` is [parts[r], parts[r + 1]). Afterwards its own holds the sum over all ranks; the others
  // are undefined.
  virtual void reduce_scatter(float* values, std::span<const std::int64_t> parts) = 0;
  // Afterwards every part is what its rank had in it.
  virtual void all_gather(float* values, std::span<const std::int64_t> parts) = 0;
  virtual void send(int to, std::span<const std::byte> bytes) = 0;
  virtual void receive(int from, std::span<std::byte> bytes) = 0;
};

}  // namespace spikegpt
