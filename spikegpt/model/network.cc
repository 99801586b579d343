#include "spikegpt/model/network.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/finite.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/cross_entropy.h"
#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/spike_encode.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/model/block.h"
#include "spikegpt/model/neuron_layer.h"

namespace spikegpt {
namespace {

// Short parallel regions for a packed model, which never calls the library of dense products.
class Regions {
 public:
  explicit Regions(bool are_short) {
    if (are_short) short_.emplace();
  }

 private:
  std::optional<ShortRegions> short_;
};

// The parts of a flat vector, found once.
struct Bound {
  const float* flat = nullptr;
  ModelWeights weights;

  void bind(const ModelConfig& config, float* vector) {
    if (flat == vector) return;
    weights = bind_weights(config, vector);
    flat = vector;
  }
};

template <class A>
class NetworkOf final : public TrainableNetwork {
 public:
  NetworkOf(const ModelConfig& config, const NetworkOptions& options)
      : config_(config),
        plan_(options.plan),
        backward_weights_(options.precision),
        head_(config.vocab_size, config.n_embd, options.precision, backward_weights()),
        activity_(config) {
    for (int layer = 0; layer < config.n_layer; ++layer) {
      blocks_.emplace_back(form_, layer, options.precision, backward_weights());
    }
    allocate();
  }

  NetworkOf(const PackedModel& model, const ActivationPlan& plan, PackedRunner& runner)
      : config_(model.config()),
        plan_(plan),
        backward_weights_(GemmPrecision::kF32),
        head_(model.matrices().back()),
        packed_(&model),
        activity_(config_) {
    ensure(!plan.trainable, "a packed model is not trainable");
    for (int layer = 0; layer < config_.n_layer; ++layer) {
      blocks_.emplace_back(form_, layer, model.matrices());
    }
    weights_.weights = model.vectors();
    pass_.runner = &runner;
    allocate();
  }

  void set_parameters(const float* flat) override {
    ensure(packed_ == nullptr, "a packed model has its parameters");
    weights_.bind(config_, const_cast<float*>(flat));  // only read
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      blocks_[i].pack(weights_.weights.blocks[i], published_scale(config_, static_cast<int>(i)));
    }
    head_.pack(weights_.weights.head);
    backward_weights_.forget();
  }

  void forward(const TokenBatch& batch, const RunOptions& run) override {
    check(batch);
    const Regions regions(packed_ != nullptr);
    begin(batch, run);
    embed();
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      blocks_[i].forward(pass_, weights_.weights.blocks[i], keep_.blocks[i], keep_.residual[i], keep_.residual[i + 1]);
      if (is_halved_after(config_, static_cast<int>(i))) halve(keep_.residual[i + 1]);
    }
    read_out();
    for (std::size_t site = 0; site < run.spike_counts.size(); ++site) {
      run.spike_counts[site].events += activity_.counts()[site].events;
      run.spike_counts[site].active += activity_.counts()[site].active;
    }
  }

  void logits(std::int64_t first, std::int64_t count, float* out) override {
    const Regions regions(packed_ != nullptr);
    head_.forward(count, head_input(first), out, pass_.runner);
  }

  void features(std::int64_t first, std::int64_t count, float* out) override {
    const A* const input = head_input(first);
    for (std::int64_t i = 0; i < count * config_.n_embd; ++i) out[i] = to_float(input[i]);
  }

  std::span<const float> losses(std::span<const std::int32_t> targets) override {
    check_tokens(targets, config_);
    for_each_head_chunk([&](std::int64_t first, std::int64_t rows) {
      head_.forward(rows, head_input(first), keep_.logits, pass_.runner);
      cross_entropy<A>(rows, config_.vocab_size,
                       {.logits = keep_.logits, .targets = targets.data() + first, .losses = keep_.losses + first});
    });
    return {keep_.losses, targets.size()};
  }

  std::span<const float> losses_and_gradients(const LossOptions& loss, float* flat) override {
    check_trainable();
    check_tokens(loss.targets, config_);
    gradients_.bind(config_, flat);
    set_activity_costs(loss.firing, loss.scale);
    on_stage_ = loss.on_stage;
    head_backward(loss, gradients_.weights);
    if (!blocks_.empty()) stage_done(config_.n_layer);
    body_backward();
    return {keep_.losses, loss.targets.size()};
  }

  void gradients_from_features(std::span<const float> d_features, const FiringCost& firing, float* flat) override {
    check_trainable();
    ensure(static_cast<std::int64_t>(d_features.size()) == pass_.shape.size(), "a gradient for every feature");
    gradients_.bind(config_, flat);
    set_activity_costs(firing, 1.0 / static_cast<double>(pass_.shape.rows()));
    on_stage_ = nullptr;
    convert(pass_.shape.size(), d_features.data(), keep_.scratch.branch);
    body_backward();
  }

  std::string first_non_finite() const override {
    const auto size = static_cast<std::size_t>(pass_.shape.size());
    if (!all_finite({keep_.embedded, size})) return "the embedding";
    if (!all_finite({keep_.residual[0], size})) return "ln0 of block 0";
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const bool kept = plan_.trainable && !plan_.recompute;
      if (keep_.residual[i + 1] == keep_.remade_residual && i + 1 < blocks_.size()) continue;
      const std::vector<float*>& between = keep_.blocks[i].between;
      for (std::size_t half = 0; half < between.size() && kept && !keep_.blocks[i].remakes_stream; ++half) {
        if (!all_finite({between[half], size})) return fmt::format("the {} of block {}", blocks_[i].half_name(half), i);
      }
      if (!all_finite({keep_.residual[i + 1], size})) {
        return kept ? fmt::format("the {} of block {}", blocks_[i].half_name(between.size()), i)
                    : fmt::format("block {}", i);
      }
    }
    return all_finite({keep_.losses, static_cast<std::size_t>(pass_.shape.rows())}) ? "" : "the head";
  }

  std::size_t memory_in_bytes() const override { return memory_.size(); }

 private:
  BackwardWeights* backward_weights() { return plan_.trainable ? &backward_weights_ : nullptr; }

  void allocate() {
    Arena sizing;
    plan_activations<A>(config_, plan_, sizing);
    memory_ = AlignedBytes(sizing.peak());
    Arena arena(memory_.data(), memory_.size());
    keep_ = plan_activations<A>(config_, plan_, arena);
    threads_ = thread_count();
  }

  void check(const TokenBatch& batch) const {
    const auto count = static_cast<std::int64_t>(batch.tokens.size());
    ensure(batch.batch > 0 && count > 0 && count % batch.batch == 0, "tokens are not [B, T]");
    ensure(count <= plan_.batch * plan_.tokens && batch.batch <= plan_.batch,
           "batch larger than the network was planned for");
    ensure(thread_count() <= threads_, "more threads than when the network was made");
    check_tokens(batch.tokens, config_);
  }

  void begin(const TokenBatch& batch, const RunOptions& run) {
    tokens_.assign(batch.tokens.begin(), batch.tokens.end());
    const auto count = static_cast<std::int64_t>(batch.tokens.size());
    pass_.shape = {batch.batch, count / batch.batch, config_.n_embd};
    pass_.neurons = neurons_;
    pass_.surrogate = lif_parameters(config_).surrogate;
    pass_.learned = weights_.weights.learned;
    pass_.learned_per_layer = learns_per_layer(config_);
    pass_.fire = run.fire;
    pass_.dropout = run.dropout;
    pass_.state_in = run.state_in;
    pass_.state_out = run.state_out;
    pass_.scratch = &keep_.scratch;
    activity_.reset();
    pass_.spike_counts = activity_.counts();
    pass_.probe = run.probe;
  }

  void set_activity_costs(const FiringCost& firing, double scale) {
    const Densities now = activity_.densities(pass_.shape.rows());
    const auto weight = [&](const Price& price, double density) {
      return density < price.target ? 0.0 : price.weight * scale;
    };
    const Densities weights = {weight(firing.rate, now.firing_rate), weight(firing.synops, now.synops),
                               weight(firing.active_rows, now.active_rows)};
    for (std::size_t site = 0; site < activity_costs_.size(); ++site) {
      const Densities one = activity_.of_one_event(site);
      const double cost =
          weights.firing_rate * one.firing_rate + weights.synops * one.synops + weights.active_rows * one.active_rows;
      activity_costs_[site] = static_cast<float>(cost) * neurons_[site].event_value();
    }
    pass_.activity_costs = activity_costs_;
  }

  void check_trainable() const {
    ensure(plan_.trainable, "a network without a trainable plan has no gradients");
    if (config_.published_rescale) {
      throw Error(ErrorKind::kUnsupported, "published_rescale is for inference: it has no gradients");
    }
  }

  // From scratch.branch, the gradient of head_input, to all parameters before the head.
  void body_backward() {
    const ModelWeights& gradients = gradients_.weights;
    pass_.d_learned = gradients.learned;
    read_out_backward(gradients);
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      if (plan_.recompute) repeat_block(i);
      if (keep_.residual[i] == keep_.remade_residual) {
        blocks_[i - 1].remake_output(pass_, keep_.blocks[i - 1], keep_.residual[i - 1], keep_.residual[i]);
      }
      blocks_[i].backward(pass_, weights_.weights.blocks[i], keep_.blocks[i], keep_.residual[i], keep_.d_residual,
                          gradients.blocks[i]);
      if (i > 0) stage_done(static_cast<int>(i));
    }
    embed_backward(gradients);
    stage_done(0);
  }

  void stage_done(int stage) const {
    if (on_stage_) on_stage_(stage);
  }

  void halve(float* stream) const {
    for (std::int64_t i = 0; i < pass_.shape.size(); ++i) stream[i] *= 0.5f;
  }

  EmbeddingMode embedding_mode() const { return {config_.binary_embedding, pass_.surrogate, pass_.fire}; }

  // x = LN0(embedding), the input of block 0. LN0 is part of that block: without blocks the embedding goes to
  // the head.
  void embed() {
    if (packed_ != nullptr) {
      packed_->embed(tokens_, keep_.embedded);
    } else {
      embedding_forward(tokens_, config_.n_embd, embedding_mode(), weights_.weights.embedding, keep_.embedded);
    }
    if (blocks_.empty()) {
      std::copy_n(keep_.embedded, pass_.shape.size(), keep_.residual[0]);
      return;
    }
    const LayerNormWeights& ln0 = weights_.weights.blocks[0].ln0;
    layer_norm_forward<float>(pass_.shape.rows(), config_.n_embd,
                              {.x = keep_.embedded,
                               .weight = ln0.weight,
                               .bias = ln0.bias,
                               .y = keep_.residual[0],
                               .mean = keep_.ln0_mean,
                               .inverse_std = keep_.ln0_inverse_std});
  }

  void embed_backward(const ModelWeights& gradients) {
    if (!blocks_.empty()) ln0_backward(gradients);
    embedding_backward(tokens_, config_.n_embd, embedding_mode(),
                       {weights_.weights.embedding, keep_.d_residual, gradients.embedding});
  }

  void ln0_backward(const ModelWeights& gradients) {
    layer_norm_backward<float>(pass_.shape.rows(), config_.n_embd,
                               {.x = keep_.embedded,
                                .weight = weights_.weights.blocks[0].ln0.weight,
                                .mean = keep_.ln0_mean,
                                .inverse_std = keep_.ln0_inverse_std,
                                .d_y = keep_.d_residual,
                                .d_x = keep_.d_residual,
                                .accumulate = false,
                                .d_weight = gradients.blocks[0].ln0.weight,
                                .d_bias = gradients.blocks[0].ln0.bias,
                                .scratch = keep_.scratch.sums});
  }

  // head_input = LN_out(x), or with event_head the spikes of neurons that read it.
  void read_out() {
    const bool fires = form_.head_site >= 0;
    A* const normal = fires ? keep_.scratch.branch : keep_.head_input;
    layer_norm_forward<A>(pass_.shape.rows(), config_.n_embd,
                          {.x = keep_.residual.back(),
                           .weight = weights_.weights.ln_out.weight,
                           .bias = weights_.weights.ln_out.bias,
                           .y = normal,
                           .mean = keep_.out_mean,
                           .inverse_std = keep_.out_inverse_std});
    if (!fires) return;
    neurons_forward<A>(pass_, {.site = form_.head_site,
                               .neurons = config_.n_embd,
                               .current = normal,
                               .spikes = keep_.head_input,
                               .kept = keep_.head_neurons});
  }

  // From scratch.branch, the gradient of head_input, to d_residual.
  void read_out_backward(const ModelWeights& gradients) {
    A* const d_input = keep_.scratch.branch;
    if (form_.head_site >= 0) {
      neurons_backward<A, A>(pass_, {.site = form_.head_site,
                                     .neurons = config_.n_embd,
                                     .kept = keep_.head_neurons,
                                     .d_spikes = d_input,
                                     .d_current = d_input});
    }
    layer_norm_backward<A>(pass_.shape.rows(), config_.n_embd,
                           {.x = keep_.residual.back(),
                            .weight = weights_.weights.ln_out.weight,
                            .mean = keep_.out_mean,
                            .inverse_std = keep_.out_inverse_std,
                            .d_y = d_input,
                            .d_x = keep_.d_residual,
                            .accumulate = false,
                            .d_weight = gradients.ln_out.weight,
                            .d_bias = gradients.ln_out.bias,
                            .scratch = keep_.scratch.sums});
  }

  // Loss and gradient of the head, a few rows at a time: the logits of all rows never exist at once.
  void head_backward(const LossOptions& loss, const ModelWeights& gradients) {
    for_each_head_chunk([&](std::int64_t first, std::int64_t rows) {
      head_.forward(rows, head_input(first), keep_.logits, pass_.runner);
      cross_entropy<A>(rows, config_.vocab_size,
                       {.logits = keep_.logits,
                        .targets = loss.targets.data() + first,
                        .losses = keep_.losses + first,
                        .d_logits = keep_.d_logits,
                        .scale = static_cast<float>(loss.scale),
                        .l2wrap = loss.l2wrap});
      head_.backward_weight(rows, keep_.d_logits, head_input(first), gradients.head);
      head_.backward_input(rows, keep_.d_logits, keep_.scratch.branch + first * config_.n_embd);
    });
  }

  // Makes the activations of block i again from its input.
  void repeat_block(std::size_t i) {
    Pass<A> again = pass_;
    again.state_out = nullptr;
    again.spike_counts = {};
    again.probe = nullptr;
    blocks_[i].forward(again, weights_.weights.blocks[i], keep_.blocks[i], keep_.residual[i], keep_.residual[i + 1]);
  }

  const A* head_input(std::int64_t row) const { return keep_.head_input + row * config_.n_embd; }

  template <class Body>
  void for_each_head_chunk(const Body& body) const {
    const std::int64_t rows = pass_.shape.rows();
    for (std::int64_t first = 0; first < rows; first += keep_.head_rows) {
      body(first, std::min(keep_.head_rows, rows - first));
    }
  }

  ModelConfig config_;
  NetworkForm form_ = network_form(config_);
  std::vector<NeuronParameters> neurons_ = site_neurons(config_);
  ActivationPlan plan_;
  BackwardWeights backward_weights_;
  std::vector<Block> blocks_;
  Linear head_;
  Bound weights_;
  Bound gradients_;
  const PackedModel* packed_ = nullptr;
  AlignedBytes memory_;
  Activations<A> keep_;
  Pass<A> pass_;
  std::vector<std::int32_t> tokens_;
  Activity activity_;  // of the last pass
  std::vector<float> activity_costs_ = std::vector<float>(form_.sites.size());  // as pass_ has them
  std::function<void(int)> on_stage_;
  int threads_ = 0;
};

}  // namespace

void check_tokens(std::span<const std::int32_t> tokens, const ModelConfig& config) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < config.vocab_size) continue;
    throw Error(ErrorKind::kInvalidArgument, "token {} at position {} is outside the vocabulary of {} tokens",
                tokens[i], i, config.vocab_size);
  }
}

std::size_t network_memory_in_bytes(const ModelConfig& config, const NetworkOptions& options) {
  Arena sizing;
  if (options.precision == GemmPrecision::kBf16) {
    plan_activations<Bf16>(config, options.plan, sizing);
  } else {
    plan_activations<float>(config, options.plan, sizing);
  }
  return sizing.peak();
}

std::unique_ptr<TrainableNetwork> make_network(const ModelConfig& config, const NetworkOptions& options) {
  validate(config);
  if (options.precision == GemmPrecision::kBf16) {
    return std::make_unique<NetworkOf<Bf16>>(config, options);
  }
  return std::make_unique<NetworkOf<float>>(config, options);
}

std::unique_ptr<Network> make_packed_network(const PackedModel& model, const ActivationPlan& plan,
                                             PackedRunner& runner) {
  return std::make_unique<NetworkOf<float>>(model, plan, runner);
}

PackedRunner make_runner(const ModelConfig& config) {
  return {kMaxMixes, std::max<std::int64_t>(config.hidden_size(), 2 * config.n_embd)};
}

double mean_loss(std::span<const float> losses) {
  double sum = 0.0;
  for (const float loss : losses) sum += static_cast<double>(loss);
  return sum / static_cast<double>(losses.size());
}

}  // namespace spikegpt
