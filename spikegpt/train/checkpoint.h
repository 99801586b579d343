// All that a training run needs to go on as if it had never stopped, in one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "spikegpt/model/weight_file.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt {

// What a run knows beside the trainer's numbers. Every double is stored exactly.
struct RunState {
  double seconds = 0.0;             // of training so far, over all sessions
  std::optional<double> best_loss;  // on held-out text, so far
  std::int64_t train_tokens = 0;    // of the text learned from: tells whether it is still the same
  std::int64_t skipped_steps = 0;   // batches left out after the run diverged
  double lr_scale = 1.0;            // of the learning rate, after the run diverged
  std::int64_t retries = 0;         // times the run went back to a checkpoint
  double fast_loss = 0.0;           // DivergenceGuard
  double slow_loss = 0.0;
  std::int64_t guarded_steps = 0;
  double found_weight = 1.0;  // price of firing that holds a target
  bool operator==(const RunState&) const = default;

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("seconds", self.seconds, "of training");
    visitor("best_loss", self.best_loss, "lowest held-out loss");
    visitor("train_tokens", self.train_tokens, "tokens of the text");
    visitor("skipped_steps", self.skipped_steps, "batches left out");
    visitor("lr_scale", self.lr_scale, "factor of the learning rate");
    visitor("retries", self.retries, "times gone back");
    visitor("fast_loss", self.fast_loss, "mean loss of the last few steps");
    visitor("slow_loss", self.slow_loss, "mean loss of the last hundred steps");
    visitor("guarded_steps", self.guarded_steps, "steps in the means");
    visitor("found_weight", self.found_weight, "price of firing");
  }
};

// DIR/checkpoints/step-000001000.safetensors: parameters under their own names; "training.first_moment",
// "training.second_moment" of Adam, "training.average" where weights are averaged, and with consecutive windows
// "training.state.<micro-batch>"; RunState and a checksum in the metadata. Everything random is a function of the
// seed and the step. Atomic; afterwards removes all but the newest `keep`. Throws Error (kIo).
std::filesystem::path save_checkpoint(const std::filesystem::path& folder, Trainer& trainer, const RunState& run,
                                      int keep);

// All checkpoints of a run, newest first.
std::vector<std::filesystem::path> find_checkpoints(const std::filesystem::path& folder);

// Throws Error (kCorruptFile) that names the file unless it is whole: what a disk or a transfer may have damaged.
WeightFile open_checkpoint(const std::filesystem::path& path);

// Sets the trainer to what the open checkpoint holds. Throws Error (kCorruptFile) that names file and tensor; the
// trainer is then in no useful state.
RunState load_checkpoint(const WeightFile& file, Trainer& trainer);
// Opens it, too.
RunState load_checkpoint(const std::filesystem::path& path, Trainer& trainer);

}  // namespace spikegpt
