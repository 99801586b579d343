// A training run made of its settings.
#pragma once

#include <filesystem>
#include <memory>

#include "spikegpt/cli/train_settings.h"
#include "spikegpt/text/tokenizer.h"
#include "spikegpt/train/training_run.h"

namespace spikegpt::cli {

enum class RunPurpose {
  kNew,
  kResume,    // with the tokenizer of the folder
  kEstimate,  // the data are read and counted, not kept
};

// Loads the data and completes the settings by the vocabulary. Throws Error.
RunSetup make_run_setup(const std::filesystem::path& folder, TrainSettings& settings, RunPurpose purpose);

// Called once the run was made: settings that it refuses must not take the place of those of an earlier run, and
// must not keep the folder from being used by the next try.
void save_description(const std::filesystem::path& folder, const TrainSettings& settings, const Tokenizer& tokenizer,
                      bool resume);

}  // namespace spikegpt::cli
