// The ranks that mpirun started.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "spikegpt/train/communicator.h"

namespace spikegpt {

// Was this process started by mpirun, srun or the like?
bool is_mpi_job();

// Has every rank of the job killed, this one included. May return, or wait for a rank that is gone: the caller sees to
// it that this process ends.
void end_mpi_job(int status) noexcept;

class MpiCommunicator final : public Communicator {
 public:
  // Joins the job. `lost` is told, in words and on another thread, which rank gave no sign of life for `patience`
  // seconds; it must end the process. (One that dies is noticed by mpirun, which ends all.) One object a process.
  // Throws Error (kUnsupported).
  MpiCommunicator(std::function<void(const std::string&)> lost, double patience);
  // Leaves the job; waits for the other ranks to do so.
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const noexcept override;
  int size() const noexcept override;
  void broadcast(std::span<std::byte> bytes) override;
  void sum(std::span<double> values) override;
  void exchange(int to, std::span<const std::byte> out, int from, std::span<std::byte> in) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spikegpt
