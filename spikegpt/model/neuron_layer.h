// The neurons of one spike site inside a pass: the scan with the site's state, count and probe.
#pragma once

#include "spikegpt/model/pass.h"

namespace spikegpt {

template <class A>
struct NeuronForward {
  int site = 0;
  std::int64_t neurons = 0;
  const A* current = nullptr;   // [B, T, neurons]
  const float* gain = nullptr;  // [neurons] or null
  A* spikes = nullptr;
  NeuronActivations<A> kept;  // receives what backward needs
  bool rectified = false;     // no negative spikes, whatever the configuration says
};
template <class A>
void neurons_forward(const Pass<A>& pass, const NeuronForward<A>& layer);
// layer.spikes again, from layer.kept.
template <class A>
void remake_neurons(const Pass<A>& pass, const NeuronForward<A>& layer);

template <class A, class D>
struct NeuronBackward {
  int site = 0;
  std::int64_t neurons = 0;
  NeuronActivations<A> kept;
  const D* d_spikes = nullptr;
  const A* current = nullptr;  // with gain only
  const float* gain = nullptr;
  A* d_current = nullptr;  // may be d_spikes where the types agree
  float* d_gain = nullptr;
  bool rectified = false;
};
template <class A, class D>
void neurons_backward(const Pass<A>& pass, const NeuronBackward<A, D>& layer);

}  // namespace spikegpt
