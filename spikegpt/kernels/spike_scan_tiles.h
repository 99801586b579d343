// Calls one task of a scan on the instruction set in use. Between the files of the spike scan only.
#pragma once

#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/kernels/tiles.h"

namespace spikegpt {

// Neurons of kSlidingPsn: the sum over a window of inputs.
template <class A>
std::int64_t sliding_forward_tile(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                                  const SpikeScanForward<A>& scan, const Tile& tile) noexcept;
template <class A, class D>
void sliding_backward_tile(const SequenceShape& shape, const NeuronParameters& neuron, bool smooth,
                           const SpikeScanBackward<A, D>& scan, const Tile& tile) noexcept;

// Smooth spikes of a row of neurons: the sum of the surrogate's primitive. `moving`: the threshold of each
// neuron, or null where all have the first.
void primitive_row(const Surrogate& surrogate, const Thresholds& thresholds, const float* moving,
                   const float* z, float* spikes, std::int64_t lanes) noexcept;

// ds/dh of a row of neurons by the surrogate: the sum over their thresholds.
void spike_gradient_row(const NeuronParameters& neuron, const float* z, float* gradient,
                        std::int64_t lanes) noexcept;

}  // namespace spikegpt
