// What the loops of kernels ask of the compiler.
#pragma once

// Formulas that must be inlined into vectorised loops, whatever instruction set the loop is compiled for.
#define SPIKEGPT_INLINE [[gnu::always_inline]] inline

// In front of a loop whose iterations touch different elements even where its pointers may be equal.
#if defined(__clang__)
#define SPIKEGPT_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#else
#define SPIKEGPT_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep")
#endif
