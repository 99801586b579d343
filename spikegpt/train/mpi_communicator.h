// The ranks that mpirun started.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "spikegpt/train/communicator.h"

namespace spikegpt {

// Was this process started by mpirun, srun or the like?
bool is_mpi_job();

class MpiCommunicator final : public Communicator {
 public:
  // Joins the job. `lost` is told, in words, which rank gave no sign of life for `patience` seconds; the job is ended
  // afterwards. A process that dies is noticed by mpirun itself. One per process. Throws Error (kUnsupported).
  explicit MpiCommunicator(std::function<void(const std::string&)> lost, double patience = 30.0);
  // Leaves the job; waits for the other ranks to do so.
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const noexcept override;
  int size() const noexcept override;
  void broadcast(std::span<std::byte> bytes) override;
  void sum(std::span<double> values) override;
  void reduce_scatter(float* values, std::span<const std::int64_t> parts) override;
  void all_gather(float* values, std::span<const std::int64_t> parts) override;
  void send(int to, std::span<const std::byte> bytes) override;
  void receive(int from, std::span<std::byte> bytes) override;

  // Ends all ranks, this one included.
  [[noreturn]] void abort(int status) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spikegpt
