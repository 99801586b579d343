// A trainer for checkpoints to be read into.
#pragma once

#include <vector>

#include "spikegpt/data/window_sampler.h"
#include "spikegpt/train/trainer.h"
#include "tests/fuzz/small_models.h"

namespace spikegpt::test {

struct FuzzTraining {
  FuzzTraining()
      : windows(make_token_stream(std::vector<TokenId>(32, 1), 5), 8, 1), trainer(config(), run(), windows) {}

  static ModelConfig config() { return fuzz_config(0); }
  static TrainConfig run() {
    TrainConfig run;
    run.batch_size = 1;
    run.precision = "f32";
    run.ema_decay = 0.5;
    return run;
  }

  WindowSampler windows;
  Trainer trainer;
};

}  // namespace spikegpt::test
