// Formulas that must be inlined into vectorised loops, whatever instruction set the loop is compiled for.
#pragma once

#define SPIKEGPT_INLINE [[gnu::always_inline]] inline
