// All that a training run needs to go on as if it had never stopped, in one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "spikegpt/train/trainer.h"

namespace spikegpt {

struct CheckpointInfo {
  std::int64_t step = 0;
  double seconds = 0.0;  // of training so far, over all sessions
};

// DIR/checkpoints/step-00001000.safetensors: parameters under their own names; "training.first_moment",
// "training.second_moment" of Adam, and with consecutive windows "training.state.<micro-batch>". Everything random is a function of the seed and the step.
// Atomic; afterwards removes all but the newest `keep`. Throws Error (kIo).
std::filesystem::path save_checkpoint(const std::filesystem::path& folder, Trainer& trainer,
                                      double seconds, int keep);

// The newest checkpoint of a run, if there is any.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& folder);

// Sets the trainer to what the checkpoint holds. Throws Error (kCorruptFile) that names file and tensor; the
// trainer is then in no useful state.
CheckpointInfo load_checkpoint(const std::filesystem::path& path, Trainer& trainer);

}  // namespace spikegpt
