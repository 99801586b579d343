// A folder as a model ready for decoding.
#pragma once

#include <filesystem>
#include <string>

#include "spikegpt/model/packed_model.h"

namespace spikegpt {

struct OpenOptions {
  std::string type;                // of the weights; empty = as they are stored
  bool published_rescale = false;  // SPEC.md 10
};

// Reads a packed folder, or packs a trainable one. Throws Error as load_model does, and kInvalidArgument for another
// type than a packed folder has.
PackedModel open_model(const std::filesystem::path& folder, const OpenOptions& options = {});

}  // namespace spikegpt
