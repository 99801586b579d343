#include "spikegpt/model/activations.h"

#include <algorithm>
#include <map>

#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/model/mixer.h"

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
    remakes_stream_ =
        keep_all && form_.architecture->only_adds_spikes() && !lif_parameters(config_).thresholds().is_graded();
    embedding(all);
    remade_input_ = take(C_);
    for (std::size_t layer = 0; layer < form_.blocks.size(); ++layer) {
      const auto halves = [&](std::size_t i) { return &form_.architecture->halves(static_cast<int>(i)); };
      const bool fresh = keep_all || layer == 0 || halves(layer) != halves(layer - 1);
      all.blocks.push_back(fresh ? block(form_.blocks[layer]) : all.blocks.back());
    }
    head(all);
    if (plan_.trainable) all.d_residual = floats(N_ * C_);
    scratch(all.scratch);
    return all;
  }

 private:
  float* floats(std::int64_t count) { return arena_.take<float>(count); }
  A* take(std::int64_t columns) { return columns == 0 ? nullptr : arena_.take<A>(N_ * columns); }

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

  BlockActivations<A> block(const BlockForm& form) {
    BlockActivations<A> block;
    block.remakes_stream = remakes_stream_;
    for (std::size_t i = 0; i + 1 < form.halves.size(); ++i) {
      if (remakes_stream_ && i < remade_between_.size()) {
        block.between.push_back(remade_between_[i]);
      } else {
        block.between.push_back(floats(N_ * C_));
        if (remakes_stream_) remade_between_.push_back(block.between.back());
      }
    }
    for (const HalfForm& half_form : form.halves) block.halves.push_back(half(half_form));
    return block;
  }

  HalfActivations<A> half(const HalfForm& form) {
    HalfActivations<A> half;
    half.mean = floats(N_);
    half.inverse_std = floats(N_);
    half.input = remade_input_;
    half.input_neurons = neurons(form.input_site);
    half.output_neurons = neurons(form.output_site);
    for (const ActivationForm& value : form.mixer.activations) {
      half.values.push_back(value.is_remade ? remade(value.columns) : take(value.columns));
    }
    for (int i = 0; i < form.mixer.statistics; ++i) half.statistics.push_back(floats(N_));
    for (const int site : form.sites) half.neurons.push_back(neurons(site));
    return half;
  }
  // One memory for all values of that width: a mixer has one that is made again at most.
  A* remade(std::int64_t columns) {
    const auto found = remade_values_.find(columns);
    return found != remade_values_.end() ? found->second : remade_values_[columns] = take(columns);
  }

  NeuronActivations<A> neurons(int site) {
    if (site < 0) return {};
    const auto index = static_cast<std::size_t>(site);
    const std::int64_t count = form_.sites[index].neurons;
    return {take(count), neurons_[index].keeps_more() ? take(count) : nullptr};
  }

  void head(Activations<A>& all) {
    all.out_mean = floats(N_);
    all.out_inverse_std = floats(N_);
    all.head_input = take(C_);
    all.head_neurons = neurons(form_.head_site);
    all.losses = floats(N_);
    all.head_rows = std::clamp<std::int64_t>(kLogitsSize / config_.vocab_size, 1, N_);
    all.logits = floats(all.head_rows * config_.vocab_size);
    if (plan_.trainable) all.d_logits = arena_.take<A>(all.head_rows * config_.vocab_size);
  }

  void scratch(Scratch<A>& scratch) {
    const SequenceShape shape = plan_.shape(config_);
    std::vector<std::int64_t> columns = {C_};
    std::int64_t sums = layer_norm_scratch_size(N_, C_);
    for (const BlockForm& block : form_.blocks) {
      for (const HalfForm& half : block.halves) {
        std::vector<std::int64_t> wanted = half.mixer.scratch;
        const std::vector<std::int64_t>& more = half.mixer.backward_scratch;
        if (plan_.trainable) wanted.insert(wanted.end(), more.begin(), more.end());
        if (columns.size() < wanted.size()) columns.resize(wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) columns[i] = std::max(columns[i], wanted[i]);
        sums = std::max(sums, half.row.mixer->sums(shape, config_));
      }
    }
    for (std::size_t i = 0; i < neurons_.size(); ++i) {  // for the gain, and for what they learn
      sums = std::max(sums, (1 + neurons_[i].learned()) * shape.batch * form_.sites[i].neurons);
    }
    for (const std::int64_t width : columns) scratch.part.push_back(take(width));
    scratch.branch = take(C_);
    scratch.sums = floats(sums);
  }

  const ModelConfig& config_;
  const ActivationPlan& plan_;
  Arena& arena_;
  const std::int64_t N_;
  const std::int64_t C_;
  const NetworkForm form_ = network_form(config_);
  const std::vector<NeuronParameters> neurons_ = site_neurons(config_);
  bool remakes_stream_ = false;
  A* remade_input_ = nullptr;
  std::map<std::int64_t, A*> remade_values_;
  std::vector<float*> remade_between_;
};

}  // namespace

template <class A>
Activations<A> plan_activations(const ModelConfig& config, const ActivationPlan& plan, Arena& arena) {
  return Planner<A>(config, plan, arena).run();
}

template Activations<float> plan_activations(const ModelConfig&, const ActivationPlan&, Arena&);
template Activations<Bf16> plan_activations(const ModelConfig&, const ActivationPlan&, Arena&);

}  // namespace spikegpt
