// Adam with clipping of the gradient's norm, over the flat vector of all parameters.
#pragma once

#include <cstdint>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/train/train_config.h"

namespace spikegpt {

class Adam {
 public:
  Adam(std::int64_t size, const TrainConfig& config);

  // Changes the parameters by the gradients and returns the norm that the gradients had before clipping. A
  // norm that is not finite changes nothing.
  double update(double lr, float* parameters, const float* gradients);

  // The state, for checkpoints.
  std::int64_t step() const noexcept { return step_; }
  void set_step(std::int64_t step) noexcept { step_ = step; }
  AlignedBuffer<float>& first_moment() noexcept { return first_moment_; }
  AlignedBuffer<float>& second_moment() noexcept { return second_moment_; }

 private:
  TrainConfig config_;
  std::int64_t step_ = 0;
  AlignedBuffer<float> first_moment_;
  AlignedBuffer<float> second_moment_;
  AlignedBuffer<double> norm_scratch_;
};

}  // namespace spikegpt
