// What the ranks do together, made of exchanges between two of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/train/communicator.h"

namespace spikegpt {

// The two halves of an all-reduce. Rank r's part of `values` is [parts[r], parts[r + 1]).
//
// A power of two of ranks halves what it exchanges log2(ranks) times; others pass parts round a ring. Either way a rank
// sends (ranks - 1) / ranks of the values, and the order of additions is fixed by the number of ranks.
// (Thakur, Rabenseifner, Gropp 2005, "Optimization of collective communication operations in MPICH".)

// Afterwards a rank's own part holds the sum over all ranks; the others are undefined. `received` is scratch memory.
void reduce_scatter(Communicator& communicator, float* values, std::span<const std::int64_t> parts,
                    std::vector<float>& received);
// Afterwards every part is what its rank had in it.
void all_gather(Communicator& communicator, float* values, std::span<const std::int64_t> parts);

// The text of the first rank that has one, everywhere; the first 1023 bytes of it.
std::string first_text(Communicator& communicator, const std::string& own);

}  // namespace spikegpt
