// A model reading a text while a probe watches.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "spikegpt/core/probe.h"
#include "spikegpt/model/config.h"

namespace spikegpt {

struct TextPass {
  std::int64_t window = 0;               // tokens after which memory begins anew; 0 = carried through the text
  std::function<void()> on_window = {};  // before each window
  std::function<void(std::int64_t)> progress = {};  // tokens done, after every chunk
};

// Runs the model over the text, one sequence, in float32. `parameters` as in ParameterLayout. Throws Error
// (kInvalidArgument) for tokens outside the vocabulary.
void watch_text(const ModelConfig& config, const float* parameters, std::span<const std::int32_t> tokens, Probe& probe,
                const TextPass& pass = {});

}  // namespace spikegpt
