// A text that stands still, as a file.
#pragma once

#include <filesystem>

#include "spikegpt/infer/session.h"
#include "spikegpt/infer/writer.h"

namespace spikegpt {

struct SavedText {
  SessionState session;
  WritingState writing;
};

// Writes and reads a state as one safetensors file (docs/formats.md), with the fingerprint of the model that
// made it. Reading throws Error: kNotFound, kIo, kCorruptFile, and kInvalidArgument for the state of another
// model. Files of version 1 hold the session only: nothing is pending.
void save_state(const std::filesystem::path& path, const PackedModel& model, const SessionState& session,
                const WritingState& writing = {});
SavedText load_state(const std::filesystem::path& path, const PackedModel& model);

}  // namespace spikegpt
