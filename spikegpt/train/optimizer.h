// Adam with clipping of the gradient's norm, over the flat vector of all parameters.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt {

// What of a step the configuration says: no clipping, and weight decay of all.
AdamStep adam_step(const TrainConfig& config, double lr, std::int64_t step);

// AdamW where config.weight_decay is not 0: decay that is no part of the gradient (Loshchilov and Hutter 2019), of
// the matrices only. Parameters that config.freeze names do not change.
class Adam {
 public:
  // Of the parameters in `own` only, which are ranges of the flat vector in order; empty = all. Throws Error
  // (kInvalidArgument) when config.freeze names no parameter, or all.
  Adam(const ParameterLayout& layout, const TrainConfig& config, std::span<const FlatRange> own = {});

  // Sum of the squares of the gradients; those of frozen parameters are set to 0 first.
  double squared_gradient(float* gradients);
  // Changes the parameters by the gradients, whose norm, of all parameters, is `norm`.
  void update(double lr, double norm, float* parameters, const float* gradients);

  // The state, for checkpoints. The moments of what it owns lie one after the other.
  std::int64_t step() const noexcept { return step_; }
  void set_step(std::int64_t step) noexcept { step_ = step; }
  std::size_t moments() const noexcept { return first_moment_.size(); }
  AlignedBuffer<float>& first_moment() noexcept { return first_moment_; }
  AlignedBuffer<float>& second_moment() noexcept { return second_moment_; }

 private:
  // Neighbouring parameters that are treated alike.
  struct Range {
    std::int64_t offset = 0;
    std::int64_t size = 0;
    bool decays = false;
    bool frozen = false;
    std::int64_t moment = 0;  // where its moments begin
  };
  void add(const Range& range);

  TrainConfig config_;
  std::vector<Range> ranges_;
  std::int64_t step_ = 0;
  AlignedBuffer<float> first_moment_;
  AlignedBuffer<float> second_moment_;
  AlignedBuffer<double> norm_scratch_;
};

}  // namespace spikegpt
