// Include before <hwy/foreach_target.h>: which instruction sets the kernels are compiled for.
// The loops are plain C++ that the compiler vectorises inside each target, so only the sets that change its
// vector width are worth the code: baseline, AVX2, AVX-512 (NEON is the baseline elsewhere).
#pragma once

#include <hwy/detect_targets.h>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
