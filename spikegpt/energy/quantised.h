// The same counts on a chip that multiplies 8-bit integers, with and without moving data (docs/energy.md). A spiking
// network has to beat a dense one that is quantised as well.
#pragma once

#include "spikegpt/energy/accounting.h"

namespace spikegpt {

// 45 nm, M. Horowitz, "Computing's energy problem", ISSCC 2014: 8-bit multiplication 0.2 pJ, 32-bit addition 0.1 pJ;
// 64 bits from an SRAM of 32 KB 20 pJ, of 1 MB 100 pJ, from DRAM 1.3 nJ. [pJ], [pJ per byte]
struct QuantisedPrices {
  double multiply = 0.2;
  double add = 0.1;
  double small_sram = 20.0 / 8.0;
  double large_sram = 100.0 / 8.0;
  double dram = 1300.0 / 8.0;
};

// [J] per token. Products in integers, element-wise work in float32.
struct QuantisedEnergy {
  double computing = 0.0;
  double local = 0.0;  // state and activations, through an SRAM of 32 KB
  double weights_from_sram = 0.0;
  double weights_from_dram = 0.0;

  double with_local() const { return computing + local; }
  double with_sram() const { return computing + local + weights_from_sram; }
  double with_dram() const { return computing + local + weights_from_dram; }
};

// Of the network as it is (kNeeded) or of its dense twin (kTwin), with weights and activations of 8 bits, sums and
// state of 32. A spike adds a row of weights, a payload multiplies it; events are lists of a 16-bit place and an 8-bit
// size. Every output's sum is written once a token. `vocabulary`: the head is taken for that of so many tokens.
QuantisedEnergy quantised_energy(const EnergyAccount& account, Accounting accounting, const PriceTable& floats,
                                 std::int64_t vocabulary, const QuantisedPrices& prices = {});

}  // namespace spikegpt
