// The one place that makes a spike.
#pragma once

#include "spikegpt/core/inline.h"

namespace spikegpt {

// 1 at and above zero, 0 below. SPEC.md 1, "fire"; SPEC.md 2.
SPIKEGPT_INLINE float heaviside(float distance) noexcept { return distance >= 0.0f ? 1.0f : 0.0f; }

}  // namespace spikegpt
