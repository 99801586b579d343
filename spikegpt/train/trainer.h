// One optimiser step after another: sample, forward, backward, update.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/data/window_source.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/train/optimizer.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt {

struct StepReport {
  std::int64_t step = 0;  // 1 for the first
  double loss = 0.0;      // nats per token, before the update
  double gradient_norm = 0.0;
  double lr = 0.0;
  double firing_rate = 0.0;
  std::int64_t tokens = 0;
  double bits() const;  // per token
};

// Holds the model being trained and everything a step needs. Allocates nothing after construction.
class Trainer {
 public:
  // `windows` must outlive the trainer. Throws Error (kMemory, kInvalidArgument).
  Trainer(const ModelConfig& model, const TrainConfig& config, const WindowSource& windows);

  // First weights from the seed; for `event` also gains from the first batch. Calls start_anew().
  void initialise_parameters();
  // Sets the gains of `event` from the first batch, for weights that came without any.
  void calibrate();
  // Step 0 with the parameters as they are: moments, average and memory begin anew.
  void start_anew();

  // Runs one step. Throws Error (kDiverged) that names the step and the layer when the loss or a gradient is not
  // finite; the parameters and moments are then as they were.
  StepReport step(double lr);

  std::int64_t steps_done() const noexcept { return optimizer_.step(); }
  const ModelConfig& model() const noexcept { return model_; }
  const ParameterLayout& layout() const noexcept { return layout_; }
  // Laid out by layout(). Call parameters_changed() after writing to them.
  AlignedBuffer<float>& parameters() noexcept { return parameters_; }
  void parameters_changed() { network_->set_parameters(parameters_.data()); }
  Adam& optimizer() noexcept { return optimizer_; }
  // Exponential moving average of the parameters; empty unless config.ema_decay > 0.
  AlignedBuffer<float>& average() noexcept { return average_; }
  // The weights to evaluate, sample from and save as the model: the average where there is one.
  const float* model_parameters() const noexcept {
    return average_.span().empty() ? parameters_.data() : average_.data();
  }
  // Lets network() compute with model_parameters() while `use` runs.
  void with_model_parameters(const std::function<void()>& use);
  // Step n sees the batch that step n + skipped would have seen.
  std::int64_t skipped_steps() const noexcept { return skipped_steps_; }
  void set_skipped_steps(std::int64_t steps) noexcept { skipped_steps_ = steps; }
  // Leaves out the next batches; sequences forget what they remember of the text before.
  void skip_steps(std::int64_t steps);
  // What each micro-batch's sequences remember from the step before; empty with random windows.
  std::vector<RecurrentState>& carried() noexcept { return carried_; }
  // For evaluation between steps: batch_size windows of ctx_len at most.
  Network& network() noexcept { return *network_; }
  std::size_t memory_in_bytes() const;

 private:
  std::int64_t batch_index() const noexcept { return steps_done() + skipped_steps_; }
  void sample(std::int64_t micro);
  void forget_fresh(std::int64_t micro);
  double forward_backward(std::int64_t micro);
  [[noreturn]] void report_bad_loss() const;
  [[noreturn]] void report_bad_gradient() const;

  ModelConfig model_;
  TrainConfig config_;
  const WindowSource& windows_;
  ParameterLayout layout_;
  AlignedBuffer<float> parameters_;
  AlignedBuffer<float> gradients_;
  AlignedBuffer<float> average_;
  Adam optimizer_;
  std::unique_ptr<TrainableNetwork> network_;
  Activity activity_;
  std::vector<TokenId> tokens_;
  std::vector<TokenId> targets_;
  std::vector<std::uint8_t> fresh_;
  std::vector<RecurrentState> carried_;
  RecurrentState next_;
  std::int64_t skipped_steps_ = 0;
};

}  // namespace spikegpt
