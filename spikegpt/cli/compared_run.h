// One of several models that are compared: trained in a folder of its own, then measured.
#pragma once

#include <filesystem>
#include <string>

#include "spikegpt/cli/train_settings.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/report/comparison_page.h"

namespace spikegpt::cli {

inline constexpr int kSpeedRounds = 3;  // of measure_speeds

struct ComparedRun {
  std::filesystem::path folder;
  TrainSettings settings;

  std::string name() const { return folder.filename().string(); }
};

// Whether its folder holds a run already.
bool has_begun(const ComparedRun& run);

// Throws Error (kInvalidArgument) when the folder holds a run of other settings, or the settings cannot be used.
void check_compared(const ComparedRun& run);

// Goes on with what is in the folder. False when it was stopped by request: what was learned is saved. Throws Error.
bool train_compared(const ComparedRun& run);

// Quality and energy of the trained model, on all of the held-out text and on its first `energy_tokens`. Kept in
// FOLDER/measured.json and read from there the next time.
ComparedModel measure_compared(const ComparedRun& run, std::int64_t energy_tokens);

// Sets the speeds of decoding, measured in turns so that what else the machine does hits all alike. Weights are int8.
// Kept in OUT/speed.json, and read from there when it is about the same models.
void measure_speeds(const std::vector<ComparedRun>& runs, const std::filesystem::path& out,
                    std::vector<ComparedModel>& models);

}  // namespace spikegpt::cli
