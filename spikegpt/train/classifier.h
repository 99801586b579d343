// A spiking language model with another end: the class of a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/model/network.h"
#include "spikegpt/train/optimizer.h"

namespace spikegpt {

// What stands for a whole text.
enum class Pooling : std::uint8_t {
  kMean,  // the mean of the last layer over its tokens
  kLast,  // the last layer at its last token
};
Pooling pooling(std::string_view name);  // throws Error (kInvalidArgument)
std::string_view name_of(Pooling pooling);

// Texts of different lengths, padded at the end. What a token computes depends on none behind it, so padding changes
// nothing but the time.
struct ClassifierBatch {
  std::vector<std::int32_t> tokens;   // [B, T]
  std::vector<std::int64_t> lengths;  // [B] tokens that are real, 1 to T
  std::vector<std::int32_t> labels;   // [B]; may be empty where no loss is asked for
};

// logits [K] = W pool(LN_out(x_L)) + b. W starts at zero, so every class starts equally likely.
class Classifier {
 public:
  // `plan`: the largest batch, padding included. Throws Error (kMemory, kInvalidArgument).
  Classifier(const ModelConfig& config, std::vector<std::string> labels, Pooling pooling, const TrainConfig& train,
             const ActivationPlan& plan);

  // Reads CONFIG's parameters, laid out by ParameterLayout(config).
  void set_parameters(std::span<const float> parameters);
  std::span<float> parameters() noexcept { return parameters_.span(); }
  // W [K, C], then b [K].
  std::span<float> head() noexcept { return head_.span(); }
  void parameters_changed() { network_->set_parameters(parameters_.data()); }

  // [B, K]; valid until the next call.
  std::span<const float> logits(const ClassifierBatch& batch);
  // Mean cross-entropy in nats, and its gradients, of the parameters and of the head; for step() and tests.
  double loss_and_gradients(const ClassifierBatch& batch, std::uint64_t dropout_stream);
  std::span<const float> gradients() const noexcept { return gradients_.span(); }
  std::span<const float> head_gradients() const noexcept { return head_gradients_.span(); }
  // One step of AdamW. Returns the loss. Throws Error (kDiverged) when it is not finite.
  double step(const ClassifierBatch& batch, double lr);

  const ModelConfig& config() const noexcept { return config_; }
  const std::vector<std::string>& labels() const noexcept { return labels_; }
  double firing_rate() const noexcept { return firing_rate_; }

  // Adds classifier.safetensors to a model folder, and config.json and model.safetensors. Throws Error (kIo).
  void save(const std::filesystem::path& folder) const;
  // The classifier of a folder, to be used, not trained further. Throws Error as load_model.
  static std::unique_ptr<Classifier> load(const std::filesystem::path& folder, const ActivationPlan& plan);

 private:
  void forward(const ClassifierBatch& batch, const Dropout& dropout);
  void pool(const ClassifierBatch& batch);

  ModelConfig config_;
  std::vector<std::string> labels_;
  Pooling pooling_;
  TrainConfig train_;
  AlignedBuffer<float> parameters_;
  AlignedBuffer<float> gradients_;
  AlignedBuffer<float> head_;
  AlignedBuffer<float> head_gradients_;
  AlignedBuffer<float> head_moments_;  // two of each
  std::unique_ptr<TrainableNetwork> network_;
  std::unique_ptr<Adam> optimizer_;
  std::vector<float> features_;  // [B, T, C]
  std::vector<float> pooled_;    // [B, C]
  std::vector<float> logits_;    // [B, K]
  double firing_rate_ = 0.0;
};

}  // namespace spikegpt
