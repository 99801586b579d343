// What a training run would take, before it is begun.
#pragma once

#include "spikegpt/train/training_run.h"

namespace spikegpt::cli {

// Runs a few steps of it in memory, prints memory, disk and time expected, and writes nothing.
void print_estimate(const RunSetup& setup);

}  // namespace spikegpt::cli
