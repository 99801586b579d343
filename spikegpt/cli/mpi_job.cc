#include "spikegpt/cli/mpi_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "spikegpt/core/host_name.h"

namespace spikegpt::cli {
namespace {

constexpr unsigned kLastResort = 5;  // [s]

}  // namespace

std::unique_ptr<MpiCommunicator> join_mpi_job(double patience) {
  if (!is_mpi_job()) return nullptr;
  const auto lost = [](const std::string& message) {
    fmt::print(stderr, "spikegpt: {}\n", message);
    end_all_ranks(1);
  };
  auto job = std::make_unique<MpiCommunicator>(lost, patience);
  if (job->size() == 1) return nullptr;
  return job;
}

std::string said_by(const Communicator& job) {
  return job.rank() == 0 ? "" : fmt::format("rank {} on {}: ", job.rank(), host_name());
}

void end_all_ranks(int status) {
  std::fflush(stdout);
  // Ending the others may wait for the very rank that is gone.
  std::signal(SIGALRM, SIG_DFL);
  alarm(kLastResort);
  end_mpi_job(status);
  _exit(status);
}

}  // namespace spikegpt::cli
