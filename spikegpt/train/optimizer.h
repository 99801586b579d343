// Adam with clipping of the gradient's norm, over the flat vector of all parameters.
#pragma once

#include <cstdint>
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
  // Throws Error (kInvalidArgument) when config.freeze names no parameter, or all.
  Adam(const ParameterLayout& layout, const TrainConfig& config);

  // Changes the parameters by the gradients and returns the norm that the gradients had before clipping; those of
  // frozen parameters are set to 0 first. A norm that is not finite changes nothing else.
  double update(double lr, float* parameters, float* gradients);

  // Step 0, moments of 0.
  void reset();

  // The state, for checkpoints.
  std::int64_t step() const noexcept { return step_; }
  void set_step(std::int64_t step) noexcept { step_ = step; }
  AlignedBuffer<float>& first_moment() noexcept { return first_moment_; }
  AlignedBuffer<float>& second_moment() noexcept { return second_moment_; }

 private:
  // Neighbouring parameters that are treated alike.
  struct Range {
    std::int64_t offset = 0;
    std::int64_t size = 0;
    bool decays = false;
    bool frozen = false;
  };

  TrainConfig config_;
  std::vector<Range> ranges_;
  std::int64_t step_ = 0;
  AlignedBuffer<float> first_moment_;
  AlignedBuffer<float> second_moment_;
  AlignedBuffer<double> norm_scratch_;
};

}  // namespace spikegpt
