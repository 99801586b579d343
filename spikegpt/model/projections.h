// Projections of what a mixer reads, each mixed with the token before: r, k and v of a time mix, r and k of a channel
// mix (SPEC.md 3). config.token_shift says where they are mixed:
//   before: y = W mix(x, mu), mix(x, mu)[t] = mu x[t] + (1 - mu) x[t-1], one mu per input;
//   after:  y = unit mix(W x, mu), one mu per output. An input is then read once, by one product that joins all
//           projections. `unit` is what an event of the neurons in front stands for, in thresholds.
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/model/mixer.h"

namespace spikegpt {

// Gives a form that has their parameters these projections: products, the first activations, the first state. Shifted
// after, the weights must be joined.
void add_projections(const MixerContext& context, std::vector<ProjectionForm> projections, PartForm& form);

// Where y of projection i is: [N, outputs], kept or in scratch part i.
template <class A>
A* projected(const MixerPass<A>& mix, std::size_t i);

// Computes all y. Scratch parts 0, 1 and 2 are used, and `pairs` [N, 2C] of a packed model with the token shift folded
// into its weights.
template <class A>
void project(const MixerPass<A>& mix, A* pairs);

// Makes y that lie in scratch again, from what was kept.
template <class A>
void project_again(const MixerPass<A>& mix);

// d_x [N, C] from the gradients d_y of all y (before any square); adds to those of weights and mus. Scratch parts 0, 1
// and 2 are used, and `joined` [N, all outputs] where they are shifted after.
template <class A>
void project_backward(const MixerPass<A>& mix, std::initializer_list<A*> d_y, A* joined, A* d_x,
                      std::span<float* const> gradients);

}  // namespace spikegpt
