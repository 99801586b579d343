// One optimiser step after another: sample, forward, backward, update.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/data/window_source.h"
#include "spikegpt/model/network.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/train/optimizer.h"
#include "spikegpt/train/team.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt {

struct StepReport {
  std::int64_t step = 0;  // 1 for the first
  double loss = 0.0;      // nats per token, before the update
  double gradient_norm = 0.0;
  double lr = 0.0;
  Densities activity;
  double found_weight = 0.0;  // price of firing that holds a target; 0 = none is looked for
  std::int64_t tokens = 0;
  double waited = 0.0;  // seconds for other ranks, behind what the backward pass hid
  double bits() const;  // per token
};

// What training remembers beside the parameters, of all processes together.
struct TrainingMemory {
  std::span<float> first_moment;  // laid out as the parameters
  std::span<float> second_moment;
  std::vector<std::span<float>> carried;  // by micro-batch; empty with random windows
};

// How many of a step's micro-batches each of so many processes works on. Throws Error (kInvalidArgument) when they
// cannot be shared evenly.
std::int64_t micro_batches_per_rank(const TrainConfig& config, int ranks);

// Holds the model being trained and everything a step needs. Allocates nothing in a step.
//
// With a communicator of several ranks, every rank has a trainer of the same configuration. Rank 0's is used as if it
// were alone; what it does the others do with it in follow(). config.accumulate counts the micro-batches of all ranks,
// of which each works on the same share: the result does not depend on the number of ranks but for rounding.
class Trainer {
 public:
  // `windows` and `communicator` must outlive the trainer. Throws Error (kMemory, kInvalidArgument).
  Trainer(const ModelConfig& model, const TrainConfig& config, const WindowSource& windows,
          Communicator* communicator = nullptr);
  ~Trainer();

  // On every rank but 0: does as rank 0's trainer does until that calls dismiss(). Returns the status given there.
  int follow();
  // On rank 0: the other ranks leave follow(). Does nothing when there are none.
  void dismiss(int status);

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
  // For saving; valid until the next step. With several ranks a copy, gathered from all.
  TrainingMemory memory();
  // For loading: memory to be filled before adopt().
  TrainingMemory memory_to_fill();
  // Once parameters(), memory_to_fill() and the optimiser's step have been written: all ranks take them over.
  void adopt();
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
  // The price of firing in the next step, where it is to be found.
  double found_weight() const noexcept { return found_weight_; }
  void set_found_weight(double weight) noexcept { found_weight_ = weight; }
  // Leaves out the next batches; sequences forget what they remember of the text before.
  void skip_steps(std::int64_t steps);
  // What the sequences of each of this rank's micro-batches remember from the step before; empty with random windows.
  std::vector<RecurrentState>& carried() noexcept { return carried_; }
  // For evaluation between steps: batch_size windows of ctx_len at most.
  Network& network() noexcept { return *network_; }
  std::size_t memory_in_bytes() const;
  // The same of a trainer on one of `ranks` processes, without making one.
  static std::size_t memory_needed(const ModelConfig& model, const TrainConfig& config, int ranks);

 private:
  std::int64_t batch_index() const noexcept { return steps_done() + skipped_steps_; }
  bool is_team() const noexcept { return team_ != nullptr; }
  bool leads() const noexcept { return team_ == nullptr || team_->leads(); }
  void tell(Order::Kind kind, double lr = 0.0, std::int64_t status = 0);
  // Of all ranks: the i-th that this rank works on.
  std::int64_t micro_batch(std::int64_t i) const noexcept;
  void sample(std::int64_t micro);
  void forget_fresh(RecurrentState& memory);
  double forward_backward(std::int64_t i);
  StepReport run_step(double lr);
  void add_up(StepReport& report, double& loss, double& squared_gradient);
  void forget();
  void exchange_memory(bool to_leader);
  std::string bad_loss() const;
  std::string bad_gradient() const;
  [[noreturn]] void report_divergence(const StepReport& report, const std::string& where);

  ModelConfig model_;
  TrainConfig config_;
  const WindowSource& windows_;
  ParameterLayout layout_;
  AlignedBuffer<float> parameters_;
  AlignedBuffer<float> gradients_;
  AlignedBuffer<float> average_;
  std::unique_ptr<Team> team_;  // null when alone
  std::int64_t own_micro_batches_;
  Adam optimizer_;
  std::unique_ptr<TrainableNetwork> network_;
  Activity activity_;
  std::vector<TokenId> tokens_;
  std::vector<TokenId> targets_;
  std::vector<std::uint8_t> fresh_;
  std::vector<RecurrentState> carried_;
  RecurrentState next_;
  std::int64_t skipped_steps_ = 0;
  double found_weight_ = 1.0;
  std::vector<double> sums_;
  std::string bad_loss_;  // of this rank, in this step
  // The leader's copy of the moments and memory of all ranks, while they are saved or loaded.
  struct Gathered;
  std::unique_ptr<Gathered> gathered_;
};

}  // namespace spikegpt
