// The whole network: tokens to logits, and back to gradients (SPEC.md 6).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "spikegpt/core/probe.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/kernels/packed_product.h"
#include "spikegpt/kernels/pointwise.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/model/activations.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/packed_model.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/recurrent_state.h"

namespace spikegpt {

// B sequences of T tokens each, [B, T].
struct TokenBatch {
  std::span<const std::int32_t> tokens;
  std::int64_t batch = 1;
};

// How one forward pass is run. The defaults are a plain pass from the start of a text.
struct RunOptions {
  const RecurrentState* state_in = nullptr;  // null = before the first token
  const RecurrentState* state_out =
      nullptr;      // receives the state after the last; may be state_in unless backward follows
  Dropout dropout;  // probability 0 = none; uses n_layer streams from `stream` on
  FireMode fire = FireMode::kSpike;
  std::span<SiteCount> spike_counts;  // one per spike site, added to; may be empty
  Probe* probe = nullptr;
};

// Throws Error (kInvalidArgument) that names the first token outside the vocabulary and its position.
void check_tokens(std::span<const std::int32_t> tokens, const ModelConfig& config);

// A price: adds weight * density to the loss of every token, in the gradient only, while the batch's density is not
// below target.
struct Price {
  double weight = 0.0;  // [nats per token for a density of 1]
  double target = 0.0;
};
// Prices of the three Densities. A payload costs as much as a spike, whatever its size.
struct FiringCost {
  Price rate = {};
  Price synops = {};
  Price active_rows = {};
};

struct LossOptions {
  std::span<const std::int32_t> targets;  // [B, T]
  double scale = 1.0;                     // of each token's loss in the gradient: 1 / tokens of the optimiser step
  float l2wrap = 0.0f;                    // 1e-4 to train, SPEC.md 6
  FiringCost firing = {};                 // times scale too
  // Called when the backward pass has completed gradients: of the head (n_layer), of block i > 0 (i), and at last of
  // all the others (0).
  std::function<void(int stage)> on_stage = {};
};

struct NetworkOptions {
  GemmPrecision precision = GemmPrecision::kF32;
  ActivationPlan plan;  // the largest batch that will be run
};

// A network with the memory for one pass at a time. Not thread-safe; uses all threads itself.
class Network {
 public:
  virtual ~Network() = default;

  // Runs the blocks. Throws Error (kInvalidArgument) for a token outside the vocabulary.
  virtual void forward(const TokenBatch& batch, const RunOptions& run) = 0;

  // Logits of rows [first, first + count) of the last forward pass, [count, V] floats.
  virtual void logits(std::int64_t first, std::int64_t count, float* out) = 0;

  // What the head reads of rows [first, first + count) of the last forward pass, [count, C] floats.
  virtual void features(std::int64_t first, std::int64_t count, float* out) = 0;

  // Negative log-likelihood in nats of each target after the last forward pass, [N].
  virtual std::span<const float> losses(std::span<const std::int32_t> targets) = 0;

  // Where the first value that is not finite appeared in the last forward pass, in words; empty if nowhere.
  virtual std::string first_non_finite() const = 0;

  // Bytes of activations and packed weights.
  virtual std::size_t memory_in_bytes() const = 0;
};

// A network whose parameters may change.
class TrainableNetwork : public Network {
 public:
  // Reads the parameters: `flat` [ParameterLayout(config).flat_size()] must stay where it is. Called again
  // after every change of them, and before the first pass.
  virtual void set_parameters(const float* flat) = 0;

  // As `losses`, and adds the gradients of scale * sum of losses to `gradients`, laid out as the parameters.
  // Once per forward pass; needs a trainable plan.
  virtual std::span<const float> losses_and_gradients(const LossOptions& loss, float* gradients) = 0;

  // The same for another end than the language model's head: `d_features` [N, C] is the gradient of features(). The
  // head's own gradient is left alone. The price of firing is a mean over the batch's tokens.
  virtual void gradients_from_features(std::span<const float> d_features, const FiringCost& firing,
                                       float* gradients) = 0;
};

// What Network::memory_in_bytes() will be, without making one.
std::size_t network_memory_in_bytes(const ModelConfig& config, const NetworkOptions& options);

std::unique_ptr<TrainableNetwork> make_network(const ModelConfig& config, const NetworkOptions& options);

// A network that reads a packed model. Splitting a text into chunks, batching texts and the number of threads change
// no bit of what it computes. `model` and `runner` must outlive it.
std::unique_ptr<Network> make_packed_network(const PackedModel& model, const ActivationPlan& plan,
                                             PackedRunner& runner);
// What runs the products of such a network.
PackedRunner make_runner(const ModelConfig& config);

// Mean loss of a pass in nats per token, added in a fixed order.
double mean_loss(std::span<const float> losses);

}  // namespace spikegpt
