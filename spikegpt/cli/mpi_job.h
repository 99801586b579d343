// This process as one of those that mpirun started: how it joins, what it says of the others, how all end.
#pragma once

#include <memory>
#include <string>

#include "spikegpt/train/mpi_communicator.h"

namespace spikegpt::cli {

// Null for a process that is alone: MPI is then not touched. A rank that gives no sign of life for `patience` seconds
// ends the job, with a message that names it.
std::unique_ptr<MpiCommunicator> join_mpi_job(double patience);

// "rank 3 on node7: " before a message of any rank but the leader's.
std::string said_by(const Communicator& job);

// Ends all ranks, this one included.
[[noreturn]] void end_all_ranks(int status);

}  // namespace spikegpt::cli
