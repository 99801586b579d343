// First weights of a model (SPEC.md 3, 4, 6).
#pragma once

#include <cstdint>
#include <string_view>

#include "spikegpt/model/config.h"

namespace spikegpt {

enum class InitKind : std::uint8_t {
  kDefault,  // as PyTorch makes layers: linear uniform in +-1/sqrt(in), embedding N(0, 1)
  kRwkv,     // RWKV's own: orthogonal matrices, zeros where a branch should start silent
};

// Throws Error (kInvalidArgument) that lists the names.
InitKind init_kind(std::string_view name);

// First weight of the norms and gains whose neurons spike in `event`: a firing rate of 15-20 % (SPEC.md 7).
inline constexpr double kEventGain = 2.0;

// Fills `flat` (laid out by ParameterLayout) from the seed. Every parameter has random numbers of its own, so
// that architectures that share a parameter share its start.
void initialise(const ModelConfig& config, InitKind kind, std::uint64_t seed, float* flat,
                double event_gain = kEventGain);

}  // namespace spikegpt
