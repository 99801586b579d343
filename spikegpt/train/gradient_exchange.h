// Adds the gradients of all ranks up while the backward pass goes on, each rank getting the sums of its share of the
// parameters: the first half of an all-reduce. After the update the second half hands the new parameters out.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "spikegpt/model/parameters.h"
#include "spikegpt/train/communicator.h"

namespace spikegpt {

// What is exchanged at once. Its gradients are complete when the backward pass has done `stage`: n_layer is the head,
// i > 0 block i, 0 the end (LossOptions::on_stage).
struct Bucket {
  FlatRange range;
  int stage = 0;
};

// Covers the whole vector; no bucket has more than `largest` floats.
std::vector<Bucket> make_buckets(const ModelConfig& config, const ParameterLayout& layout,
                                 std::int64_t largest = std::int64_t{8} << 20);

class GradientExchange {
 public:
  // `communicator` must outlive it, and is its own from begin() to finish().
  GradientExchange(Communicator& communicator, std::vector<Bucket> buckets);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // What a rank owns: its share of every bucket, in the order of the flat vector.
  const std::vector<FlatRange>& owned(int rank) const { return owned_[static_cast<std::size_t>(rank)]; }

  void begin(float* gradients);
  // The buckets of a stage are on their way; returns at once.
  void stage_done(int stage);
  // Once every stage is done: waits until this rank's share holds the sums over all ranks.
  void finish();
  // Every rank's share of the parameters, everywhere.
  void share(float* parameters);
  // Seconds spent in finish() and share() since begin(): what the backward pass did not hide.
  double waited() const noexcept { return waited_; }

 private:
  std::span<const std::int64_t> parts(std::size_t bucket) const;
  void work();

  Communicator& communicator_;
  std::vector<Bucket> buckets_;
  std::vector<std::int64_t> parts_;  // size + 1 numbers a bucket, counted from its first float
  std::vector<std::vector<FlatRange>> owned_;
  float* gradients_ = nullptr;
  std::vector<float> received_;
  double waited_ = 0.0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> waiting_;
  std::size_t left_ = 0;  // buckets of this step not exchanged yet
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace spikegpt
