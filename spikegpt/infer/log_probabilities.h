// How likely a model found the tokens of a text.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace spikegpt {

struct TokenProbability {
  std::int32_t token = 0;
  double log_probability = 0.0;  // natural logarithm
};

// Of `token` among all by logits [V], before any sampler's changes. Throws Error (kDiverged) when a logit is not
// finite.
double log_probability(std::span<const float> logits, std::int32_t token);

// The `count` likeliest tokens, likeliest first; of equals the one with the smaller id comes first. Throws as above.
std::vector<TokenProbability> likeliest(std::span<const float> logits, int count);

}  // namespace spikegpt
