#include "spikegpt/train/classifier.h"

#include <algorithm>
#include <cmath>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/kernels/cross_entropy.h"
#include "spikegpt/model/activity.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFileName = "classifier.safetensors";
constexpr const char* kFormat = "spikegpt classifier 1";
constexpr const char* kExpected = "a classifier";

TrainConfig without_language_head(TrainConfig train) {
  train.freeze.emplace_back("head.*");
  return train;
}

// Row b of pooled gradients, spread over the real tokens of its text.
struct Spread {
  std::int64_t first;
  std::int64_t count;
};
Spread spread_of(Pooling pooling, std::int64_t length) {
  if (pooling == Pooling::kMean) return {0, length};
  return {length - 1, 1};
}

}  // namespace

Pooling pooling(std::string_view name) {
  if (name == "mean") return Pooling::kMean;
  if (name == "last") return Pooling::kLast;
  throw Error(ErrorKind::kInvalidArgument, "pooling = \"{}\": expected mean or last", name);
}

std::string_view name_of(Pooling pooling) { return pooling == Pooling::kMean ? "mean" : "last"; }

Classifier::Classifier(const ModelConfig& config, std::vector<std::string> labels, Pooling pooling,
                       const TrainConfig& train, const ActivationPlan& plan)
    : config_(config), labels_(std::move(labels)), pooling_(pooling), train_(without_language_head(train)) {
  const ParameterLayout layout(config);
  const auto size = static_cast<std::size_t>(layout.flat_size());
  const std::size_t head = labels_.size() * (static_cast<std::size_t>(config.n_embd) + 1);
  parameters_ = AlignedBuffer<float>(size);
  head_ = AlignedBuffer<float>(head);
  network_ = make_network(config, {gemm_precision(train.precision), plan});
  if (!plan.trainable) return;
  gradients_ = AlignedBuffer<float>(size);
  head_gradients_ = AlignedBuffer<float>(head);
  head_moments_ = AlignedBuffer<float>(2 * head);
  optimizer_ = std::make_unique<Adam>(layout, train_);
}

void Classifier::set_parameters(std::span<const float> parameters) {
  ensure(parameters.size() == parameters_.size(), "the parameters of this model");
  std::copy(parameters.begin(), parameters.end(), parameters_.data());
  parameters_changed();
}

void Classifier::forward(const ClassifierBatch& batch, const Dropout& dropout) {
  const auto B = static_cast<std::int64_t>(batch.lengths.size());
  const auto rows = static_cast<std::int64_t>(batch.tokens.size());
  Activity activity(config_);
  RunOptions run;
  run.dropout = dropout;
  run.spike_counts = activity.counts();
  network_->forward({batch.tokens, B}, run);
  firing_rate_ = activity.densities(rows).firing_rate;
  features_.resize(static_cast<std::size_t>(rows * config_.n_embd));
  network_->features(0, rows, features_.data());
  pool(batch);
}

// pooled = mean or last of the features, logits = W pooled + b.
void Classifier::pool(const ClassifierBatch& batch) {
  const std::size_t B = batch.lengths.size();
  const std::size_t T = batch.tokens.size() / B;
  const auto C = static_cast<std::size_t>(config_.n_embd);
  const std::size_t K = labels_.size();
  pooled_.assign(B * C, 0.0f);
  logits_.assign(B * K, 0.0f);
  for (std::size_t b = 0; b < B; ++b) {
    const Spread real = spread_of(pooling_, batch.lengths[b]);
    float* const pooled = pooled_.data() + b * C;
    for (std::int64_t t = real.first; t < real.first + real.count; ++t) {
      const float* const row = features_.data() + (b * T + static_cast<std::size_t>(t)) * C;
      for (std::size_t c = 0; c < C; ++c) pooled[c] += row[c];
    }
    for (std::size_t c = 0; c < C; ++c) pooled[c] /= static_cast<float>(real.count);
    for (std::size_t k = 0; k < K; ++k) {
      float sum = head_[K * C + k];
      for (std::size_t c = 0; c < C; ++c) sum += head_[k * C + c] * pooled[c];
      logits_[b * K + k] = sum;
    }
  }
}

std::span<const float> Classifier::logits(const ClassifierBatch& batch) {
  forward(batch, {});
  return logits_;
}

double Classifier::loss_and_gradients(const ClassifierBatch& batch, std::uint64_t dropout_stream) {
  forward(batch, {static_cast<float>(config_.dropout), train_.seed, dropout_stream});
  const std::size_t B = batch.lengths.size();
  const std::size_t T = batch.tokens.size() / B;
  const auto C = static_cast<std::size_t>(config_.n_embd);
  const std::size_t K = labels_.size();
  std::fill(gradients_.span().begin(), gradients_.span().end(), 0.0f);
  std::fill(head_gradients_.span().begin(), head_gradients_.span().end(), 0.0f);
  std::fill(features_.begin(), features_.end(), 0.0f);  // from here on their gradient
  std::vector<float> losses(B);
  std::vector<float> d_logits(B * K);
  cross_entropy<float>(static_cast<std::int64_t>(B), static_cast<std::int64_t>(K),
                       {.logits = logits_.data(),
                        .targets = batch.labels.data(),
                        .losses = losses.data(),
                        .d_logits = d_logits.data(),
                        .scale = 1.0f / static_cast<float>(B)});
  std::vector<float> d_pooled(C);
  for (std::size_t b = 0; b < B; ++b) {
    std::fill(d_pooled.begin(), d_pooled.end(), 0.0f);
    for (std::size_t k = 0; k < K; ++k) {
      const float d_logit = d_logits[b * K + k];
      head_gradients_[K * C + k] += d_logit;
      for (std::size_t c = 0; c < C; ++c) {
        head_gradients_[k * C + c] += d_logit * pooled_[b * C + c];
        d_pooled[c] += d_logit * head_[k * C + c];
      }
    }
    const Spread real = spread_of(pooling_, batch.lengths[b]);
    for (std::int64_t t = real.first; t < real.first + real.count; ++t) {
      float* const row = features_.data() + (b * T + static_cast<std::size_t>(t)) * C;
      for (std::size_t c = 0; c < C; ++c) row[c] = d_pooled[c] / static_cast<float>(real.count);
    }
  }
  network_->gradients_from_features(features_, firing_cost(train_), gradients_.data());
  return mean_loss(losses);
}

double Classifier::step(const ClassifierBatch& batch, double lr) {
  const std::uint64_t stream =
      stream_of(RandomPurpose::kDropout, static_cast<std::uint64_t>(optimizer_->step() * config_.n_layer));
  const double loss = loss_and_gradients(batch, stream);
  const double norm = std::isfinite(loss) ? std::sqrt(optimizer_->squared_gradient(gradients_.data())) : loss;
  if (!std::isfinite(norm)) {
    throw Error(ErrorKind::kDiverged, "step {}: the loss or its gradient is not a finite number; try a smaller --lr",
                optimizer_->step() + 1);
  }
  optimizer_->update(lr, norm, parameters_.data(), gradients_.data());
  adam_update(static_cast<std::int64_t>(head_.size()), adam_step(train_, lr, optimizer_->step()),
              {head_.data(), head_gradients_.data(), head_moments_.data(), head_moments_.data() + head_.size()});
  parameters_changed();
  return loss;
}

void Classifier::save(const std::filesystem::path& folder) const {
  save_model(folder, config_, parameters_.data());
  const auto K = static_cast<std::int64_t>(labels_.size());
  const std::span<const float> head = head_.span();
  const std::size_t weights = labels_.size() * static_cast<std::size_t>(config_.n_embd);
  write_safetensors(
      folder / kFileName,
      {{"format", kFormat}, {"labels", Json(labels_).dump()}, {"pooling", std::string(name_of(pooling_))}},
      std::vector<TensorView>{
          {"classifier.weight", DType::kF32, {K, config_.n_embd}, std::as_bytes(head.first(weights))},
          {"classifier.bias", DType::kF32, {K}, std::as_bytes(head.subspan(weights))}});
}

std::unique_ptr<Classifier> Classifier::load(const std::filesystem::path& folder, const ActivationPlan& plan) {
  if (!std::filesystem::exists(folder / kFileName)) {
    throw Error(ErrorKind::kNotFound, "{} is not a classifier: it has no {} (make one with spikegpt classify train)",
                folder.string(), kFileName);
  }
  const StoredModel model = load_model(folder);
  const WeightFile file = read_safetensors(folder / kFileName);
  if (file.metadata_at("format", kExpected) != kFormat) {
    throw Error(ErrorKind::kUnsupported, "{}: expected format \"{}\"", file.path().string(), kFormat);
  }
  const Json labels = parse_bounded_json(file.metadata_at("labels", kExpected));
  std::vector<std::string> names;
  for (const Json& label : labels) {
    if (label.is_string()) names.push_back(label.get<std::string>());
  }
  if (!labels.is_array() || names.size() != labels.size() || names.size() < 2) {
    throw Error(ErrorKind::kCorruptFile, "{}: metadata \"labels\": expected a JSON array of at least two strings",
                file.path().string());
  }
  const auto K = static_cast<std::int64_t>(names.size());
  const std::vector<std::int64_t> weight_shape = {K, model.config.n_embd};
  expect_floats(file, "classifier.weight", weight_shape);  // before memory is taken for that many classes
  TrainConfig train;
  train.precision = "f32";
  auto classifier =
      std::make_unique<Classifier>(model.config, names, pooling(file.metadata_at("pooling", kExpected)), train, plan);
  const std::span<float> head = classifier->head();
  const std::size_t weights = read_floats(file, "classifier.weight", weight_shape, head);
  read_floats(file, "classifier.bias", {K}, head.subspan(weights));
  classifier->set_parameters(model.parameters.span());
  return classifier;
}

}  // namespace spikegpt
