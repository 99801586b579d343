// Linked into test programs that reach the kernels.
#include <cstdio>
#include <cstdlib>

#include "spikegpt/core/error.h"
#include "spikegpt/kernels/simd.h"

namespace {

const bool obeyed = [] {
  try {
    spikegpt::apply_simd_environment();
    return true;
  } catch (const spikegpt::Error& error) {
    std::fprintf(stderr, "SPIKEGPT_SIMD: %s\n", error.what());
    std::exit(1);
  }
}();

}  // namespace
