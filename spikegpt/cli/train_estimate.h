// What a training run would take, before it is begun.
#pragma once

#include "spikegpt/train/training_run.h"

namespace spikegpt::cli {

// What a few steps of are timed instead: a run that takes little memory, with random tokens; a small model itself, of a
// larger one a layer of it, narrower where need be. On every rank of a job the same; otherwise `job` is null.
RunSetup timed_run(const RunSetup& setup, const Communicator* job);

// Prints memory, disk and time that `setup` will take, and writes nothing. Takes the memory of `timed` only. On rank 0
// of a job, while the others' trainers of `timed` follow().
void print_estimate(const RunSetup& setup, const RunSetup& timed, Communicator* job);

}  // namespace spikegpt::cli
