#include "spikegpt/model/activations.h"

#include <algorithm>

#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/kernels/wkv_scan.h"
#include "spikegpt/model/spike_sites.h"

namespace spikegpt {
namespace {

// Logits are computed for as many rows at a time as fit this many floats.
constexpr std::int64_t kLogitsSize = std::int64_t{4} << 20;

template <class A>
class Planner {
 public:
  Planner(const ModelConfig& config, const ActivationPlan& plan, Arena& arena)
      : config_(config), plan_(plan), arena_(arena), N_(plan.batch * plan.tokens), C_(config.n_embd) {}

  Activations<A> run() {
    Activations<A> all;
    const bool keep_all = plan_.trainable && !plan_.recompute;
    // What rounding leaves of a distance tells a spike from none, but not two spikes from one.
    remakes_stream_ = keep_all && config_.is_spikegpt() && !lif_parameters(config_).thresholds().is_graded();
    embedding(all);
    remade_input_ = narrow();
    if (!config_.is_event()) remade_hidden_ = narrow();
    if (remakes_stream_) remade_middle_ = floats(N_ * C_);
    for (int layer = 0; layer < config_.n_layer; ++layer) {
      const bool kinds_differ = layer == 1 && config_.has_ffn_pre();
      const bool fresh = keep_all || layer == 0 || kinds_differ;
      all.blocks.push_back(fresh ? block(layer) : all.blocks.back());
    }
    head(all);
    if (plan_.trainable) all.d_residual = floats(N_ * C_);
    scratch(all.scratch);
    return all;
  }

 private:
  float* floats(std::int64_t count) { return arena_.take<float>(count); }
  A* narrow() { return arena_.take<A>(N_ * C_); }
  A* wide() { return arena_.take<A>(N_ * config_.hidden_size()); }

  void embedding(Activations<A>& all) {
    all.embedded = floats(N_ * C_);
    all.ln0_mean = floats(N_);
    all.ln0_inverse_std = floats(N_);
    if (remakes_stream_) all.remade_residual = floats(N_ * C_);
    for (int layer = 0; layer <= config_.n_layer; ++layer) {
      if (remakes_stream_ && (layer % 2 == 1 || layer == config_.n_layer)) {
        all.residual.push_back(all.remade_residual);
        continue;
      }
      all.residual.push_back(plan_.trainable || layer < 2 ? floats(N_ * C_) : all.residual[all.residual.size() - 2]);
    }
  }

  BlockActivations<A> block(int layer) {
    BlockActivations<A> block;
    block.remakes_stream = remakes_stream_;
    block.middle = remakes_stream_ ? remade_middle_ : floats(N_ * C_);
    const BlockSites sites = block_sites(config_, layer);
    block.first = half(layer == 0 && config_.has_ffn_pre());
    keep_more(block.first, sites.input1, sites.hidden1, sites.output1);
    block.second = half(true);
    keep_more(block.second, sites.input2, sites.hidden2, sites.output2);
    return block;
  }

  MixActivations<A> half(bool channel_mix) {
    MixActivations<A> half;
    half.mean = floats(N_);
    half.inverse_std = floats(N_);
    half.input = remade_input_;
    half.receptance = narrow();
    half.value = narrow();
    if (config_.is_event()) half.input_distance = narrow();
    if (config_.is_spikegpt()) half.output_distance = narrow();
    if (channel_mix && config_.is_event()) {
      half.key = wide();
      half.hidden_distance = wide();
    } else if (channel_mix) {
      half.hidden = wide();
    } else {
      half.key = narrow();
      half.hidden = config_.is_event() ? narrow() : remade_hidden_;
      if (config_.is_event()) half.hidden_distance = narrow();
      if (config_.attention_norm) {
        half.hidden_mean = floats(N_);
        half.hidden_inverse_std = floats(N_);
      }
    }
    return half;
  }

  // A second number of every token, for the kinds of neurons whose backward pass reads one.
  A* kept(int site) {
    if (site < 0 || !neurons_[static_cast<std::size_t>(site)].keeps_more()) return nullptr;
    return arena_.take<A>(N_ * sites_[static_cast<std::size_t>(site)].neurons);
  }
  void keep_more(MixActivations<A>& half, int input, int hidden, int output) {
    half.input_kept = kept(input);
    half.hidden_kept = kept(hidden);
    half.output_kept = kept(output);
  }

  void head(Activations<A>& all) {
    all.out_mean = floats(N_);
    all.out_inverse_std = floats(N_);
    all.head_input = narrow();
    if (config_.event_head) all.head_distance = narrow();
    all.head_kept = kept(head_site(config_));
    all.losses = floats(N_);
    all.head_rows = std::clamp<std::int64_t>(kLogitsSize / config_.vocab_size, 1, N_);
    all.logits = floats(all.head_rows * config_.vocab_size);
    if (plan_.trainable) all.d_logits = arena_.take<A>(all.head_rows * config_.vocab_size);
  }

  void scratch(Scratch<A>& scratch) {
    for (A*& buffer : scratch.narrow) buffer = narrow();
    scratch.wide[0] = wide();
    if (plan_.trainable && config_.is_event()) scratch.wide[1] = wide();
    scratch.branch = narrow();
    const SequenceShape shape = plan_.shape(config_);
    const SequenceShape hidden = {shape.batch, shape.tokens, config_.hidden_size()};
    std::int64_t sums = 2;  // of the neurons that learn: for the gain, and for what they learn
    for (const NeuronParameters& neuron : neurons_) sums = std::max<std::int64_t>(sums, 1 + neuron.learned());
    scratch.sums = floats(std::max({wkv_scratch_size(shape), token_shift_scratch_size(shape),
                                    layer_norm_scratch_size(N_, C_), sums * hidden.batch * hidden.channels}));
  }

  const ModelConfig& config_;
  const ActivationPlan& plan_;
  Arena& arena_;
  const std::int64_t N_;
  const std::int64_t C_;
  const std::vector<SpikeSite> sites_ = spike_sites(config_);
  const std::vector<NeuronParameters> neurons_ = site_neurons(config_);
  bool remakes_stream_ = false;
  A* remade_input_ = nullptr;
  A* remade_hidden_ = nullptr;
  float* remade_middle_ = nullptr;
};

}  // namespace

template <class A>
Activations<A> plan_activations(const ModelConfig& config, const ActivationPlan& plan, Arena& arena) {
  return Planner<A>(config, plan, arena).run();
}

template Activations<float> plan_activations(const ModelConfig&, const ActivationPlan&, Arena&);
template Activations<Bf16> plan_activations(const ModelConfig&, const ActivationPlan&, Arena&);

}  // namespace spikegpt
