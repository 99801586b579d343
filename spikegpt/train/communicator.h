// The processes that train one model together. What passes between them is bytes and sums; train/ knows no more of MPI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spikegpt {

// Every process calls the collectives in the same order with the same sizes; one thread of it at a time. Nothing is
// sent for an empty span. A failure of the network, or of another process, ends the process: there is nothing to return
// to.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const noexcept = 0;  // 0 leads
  virtual int size() const noexcept = 0;

  // Rank 0's bytes, everywhere.
  virtual void broadcast(std::span<std::byte> bytes) = 0;
  // The sums over all ranks, everywhere.
  virtual void sum(std::span<double> values) = 0;
  // Sends `out` to one rank and receives `in` from another (or the same), at once.
  virtual void exchange(int to, std::span<const std::byte> out, int from, std::span<std::byte> in) = 0;

  void send(int to, std::span<const std::byte> bytes) { exchange(to, bytes, to, {}); }
  void receive(int from, std::span<std::byte> bytes) { exchange(from, {}, from, bytes); }
};

}  // namespace spikegpt
