// Speed, memory and whereabouts of the time of whole training steps.
#pragma once

#include <filesystem>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/config.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt::cli {

struct TrainBench {
  ModelConfig model;
  TrainConfig train;
  int steps = 5;                   // timed, after two that are not
  std::filesystem::path baseline;  // the script of cli/bench_baseline.h; empty = none
};

// {tokens_per_second, step_seconds, breakdown: [{name, seconds, share, calls, gflops, gbytes}], limits, peak_memory_mb,
// baseline, ...}. With a baseline its runs take turns with ours, so that both meet the same machine. Throws Error as
// the trainer and PytorchBaseline do.
Json bench_train(const TrainBench& bench);
void print_train(const Json& json);

}  // namespace spikegpt::cli
