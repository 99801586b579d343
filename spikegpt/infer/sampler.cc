#include "spikegpt/infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
void validate(const SamplerConfig& c) {
  check_setting(c.temperature >= 0.0 && c.temperature <= 100.0, "temperature", c.temperature, "0 to 100");
  check_setting(c.top_p > 0.0 && c.top_p <= 1.0, "top_p", c.top_p, "a probability above 0, at most 1");
  check_setting(c.top_k >= 0, "top_k", c.top_k, "0 or more");
  check_setting(std::isfinite(c.repetition_penalty) && c.repetition_penalty > 0.0, "repetition_penalty",
                c.repetition_penalty, "a positive number");
  check_setting(c.repetition_window >= 0, "repetition_window", c.repetition_window, "0 or more");
}

Sampler::Sampler(const SamplerConfig& config, const SamplerState& state)
    : config_(config), random_(config.seed, RandomPurpose::kSampling) {
  validate(config);
  random_.set_counter(state.random_counter);
  for (const std::int32_t token : state.recent) observe(token);
}

void Sampler::observe(std::int32_t token) {
  recent_.push_back(token);
  if (recent_.size() > static_cast<std::size_t>(config_.repetition_window)) recent_.pop_front();
}

// Candidates with their logits; those of recent tokens are pushed towards minus infinity.
void Sampler::penalise(std::span<const float> logits) {
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      throw Error(ErrorKind::kDiverged,
                  "the model's output for token {} is {}; expected finite numbers: its weights are damaged, or it "
                  "was trained with too large a learning rate",
                  i, logits[i]);
    }
    candidates_.push_back({static_cast<std::int32_t>(i), logits[i], 0.0});
  }
  if (config_.repetition_penalty == 1.0) return;
  const auto penalty = static_cast<float>(config_.repetition_penalty);
  for (const std::int32_t token : recent_) {
    if (!std::in_range<std::size_t>(token) || static_cast<std::size_t>(token) >= logits.size()) continue;
    const float logit = logits[static_cast<std::size_t>(token)];
    candidates_[static_cast<std::size_t>(token)].logit = logit > 0.0f ? logit / penalty : logit * penalty;
  }
}

// Keeps the top-k and then the top-p candidates, likeliest first, with their probabilities.
void Sampler::cut() {
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (config_.top_k > 0 && static_cast<std::size_t>(config_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + config_.top_k, candidates_.end(), likelier);
    candidates_.resize(static_cast<std::size_t>(config_.top_k));
  }
  const double best = static_cast<double>(std::min_element(candidates_.begin(), candidates_.end(), likelier)->logit);
  double sum = 0.0;
  for (Candidate& c : candidates_) {
    c.probability = std::exp(static_cast<double>(c.logit) - best);
    sum += c.probability;
  }
  // Sort the unlikely ones only if top_p reaches them: a large vocabulary has few candidates that matter.
  const double negligible = (1.0 - config_.top_p) * sum / static_cast<double>(candidates_.size());
  const auto matters = std::partition(candidates_.begin(), candidates_.end(),
                                      [=](const Candidate& c) { return c.probability > negligible; });
  std::sort(candidates_.begin(), matters, likelier);
  if (config_.top_p == 1.0) std::sort(matters, candidates_.end(), likelier);
  double covered = 0.0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && covered < config_.top_p * sum) {
    covered += candidates_[kept++].probability;
  }
  candidates_.resize(std::max<std::size_t>(kept, 1));
}

std::int32_t Sampler::sample(std::span<const float> logits) {
  penalise(logits);
  cut();
  std::int32_t chosen = candidates_.front().token;
  if (config_.temperature > 0.0) {
    double sum = 0.0;
    for (Candidate& c : candidates_) {
      c.probability = std::pow(c.probability, 1.0 / config_.temperature);
      sum += c.probability;
    }
    double left = random_.next_uniform() * sum;
    for (const Candidate& c : candidates_) {
      chosen = c.token;
      left -= c.probability;
      if (left < 0.0) break;
    }
  }
  observe(chosen);
  return chosen;
}

}  // namespace spikegpt
