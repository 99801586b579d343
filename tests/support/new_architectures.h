// Two architectures that the program does not have, made as anybody would make one: rows of the table, and one mixer.
// Nothing else knows of them.
#pragma once

#include "spikegpt/model/architecture.h"
#include "spikegpt/model/mixer.h"

namespace spikegpt::test {

// out = W neurons(h), h[t] = x[t] + h[t-1] / 2.
class LeakyMix final : public MixerOf<LeakyMix> {
 public:
  const char* name() const override { return "leaky mix"; }
  std::int64_t sums(const SequenceShape&, const ModelConfig&) const override { return 0; }
  PartForm form(const MixerContext& context) const override {
    const std::int64_t C = context.config.n_embd;
    PartForm form;
    form.parameters = {{"output.weight", {C, C}}, {"gain", {C}, {.kind = FirstValues::Kind::kGain}}};
    form.products = {{.weight = 0, .reads = ProductForm::Reads::kSpikes, .is_last = true}};
    form.activations = {{C}};
    form.states = {{std::string(context.state) + "_average", C}};
    form.neurons = {{.place = context.hidden, .neurons = C, .gain = 1}};
    form.scratch = {C, C};
    form.operations = {.macs = C};
    return form;
  }

  template <class A>
  void run(const MixerPass<A>& mix, A* out) const {
    const auto& [batch, tokens, C] = mix.pass.shape;
    A* const h = mix.keep.values[0];
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t c = 0; c < C; ++c) {
        float average = mix.state_in.empty() ? 0.0f : mix.state_in[0][b * C + c];
        for (std::int64_t i = b * tokens * C + c; i < (b + 1) * tokens * C; i += C) {
          average = to_float(mix.keep.input[i]) + 0.5f * average;
          h[i] = from_float<A>(average);
        }
        if (!mix.state_out.empty()) mix.state_out[0][b * C + c] = average;
      }
    }
    A* const spikes = mix.pass.scratch->part[0];
    mix.fire(0, h, spikes);
    mix.products[0].forward(mix.pass.shape.rows(), spikes, out, mix.pass.runner);
  }

  template <class A>
  void run_backward(const MixerPass<A>& mix, const A* d_out, A* d_x, std::span<float* const> gradients) const {
    const auto& [batch, tokens, C] = mix.pass.shape;
    A* const spikes = mix.pass.scratch->part[0];
    A* const d_h = mix.pass.scratch->part[1];
    mix.remake_spikes(0, spikes);
    mix.products[0].backward_weight(mix.pass.shape.rows(), d_out, spikes, gradients[0]);
    mix.products[0].backward_input(mix.pass.shape.rows(), d_out, d_h);
    mix.fire_backward(0, mix.keep.values[0], d_h, gradients);
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t c = 0; c < C; ++c) {
        float later = 0.0f;
        for (std::int64_t t = tokens - 1; t >= 0; --t) {
          const std::int64_t i = (b * tokens + t) * C + c;
          later = to_float(d_h[i]) + 0.5f * later;
          d_x[i] = from_float<A>(later);
        }
      }
    }
  }
};

// "feed_forward": blocks without a time mix. "leaky": the mixer above in the place of the time mix, and neurons in
// front of, within and behind halves.
inline void add_new_architectures() {
  static const bool once = [] {
    static const LeakyMix leaky;
    const HalfRow feed_forward = {.mixer = &channel_mix(), .norm = "ln1", .weights = "ffn", .state = "ffn"};
    const HalfRow memory = {.mixer = &leaky, .norm = "ln2", .weights = "mem", .state = "mem"};
    add_architecture({.arch = "feed_forward", .block = {feed_forward.firing("ffn_in", "ffn_hidden")}});
    add_architecture({.arch = "leaky", .block = {memory.firing("mem_in", "mem_out"), feed_forward.sending("ffn_out")}});
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace spikegpt::test
