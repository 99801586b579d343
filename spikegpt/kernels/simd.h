// Which instruction set the kernels run on.
#pragma once

#include <string>
#include <string_view>

namespace spikegpt {

// The set in use: "avx512vnni", "avx512", "avx2", "baseline" or another of Highway's names in lower case. Chosen at
// first use from what the CPU has, or from the environment variable SPIKEGPT_SIMD.
std::string simd_target();

// Whether the set in use is AVX-512 with the integer dot products of VNNI.
bool simd_has_vnni();

// Forces a set for the whole process; "best" undoes it. Throws Error (kInvalidArgument) for a name that is not
// known, (kUnsupported) for one this CPU does not have. Not thread-safe.
void set_simd_target(std::string_view name);

// Applies SPIKEGPT_SIMD. Programs call it once at the start. Throws as set_simd_target.
void apply_simd_environment();

}  // namespace spikegpt
