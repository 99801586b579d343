// What a training run would take, before it is begun.
#pragma once

#include "spikegpt/train/training_run.h"

namespace spikegpt::cli {

// Runs a few steps of it in memory, prints memory, disk and time expected, and writes nothing. On rank 0 of a job,
// while the others' trainers follow(); otherwise `job` is null.
void print_estimate(const RunSetup& setup, Communicator* job);

}  // namespace spikegpt::cli
