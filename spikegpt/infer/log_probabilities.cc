#include "spikegpt/infer/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "spikegpt/core/error.h"
#include "spikegpt/core/finite.h"

namespace spikegpt {
namespace {

// The largest logit, and the logarithm of the sum of exp(logit - largest): apart, so that neither swallows the other.
struct LogTotal {
  double largest = 0.0;
  double log_sum = 0.0;
  double log_probability(float logit) const { return (static_cast<double>(logit) - largest) - log_sum; }
};

LogTotal log_total(std::span<const float> logits) {
  const std::size_t bad = first_non_finite(logits);
  if (bad != logits.size()) {
    throw Error(ErrorKind::kDiverged, "the model's output for token {} is {}; expected finite numbers", bad,
                logits[bad]);
  }
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return {largest, std::log(sum)};
}

}  // namespace

double log_probability(std::span<const float> logits, std::int32_t token) {
  ensure(token >= 0 && static_cast<std::size_t>(token) < logits.size(), "a token of the vocabulary");
  return log_total(logits).log_probability(logits[static_cast<std::size_t>(token)]);
}

std::vector<TokenProbability> likeliest(std::span<const float> logits, int count) {
  const LogTotal total = log_total(logits);
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<std::ptrdiff_t>(count, std::ssize(order));
  const auto logit = [&](std::int32_t token) { return logits[static_cast<std::size_t>(token)]; };
  std::partial_sort(order.begin(), end, order.end(), [&](std::int32_t a, std::int32_t b) {
    return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
  });
  std::vector<TokenProbability> found;
  for (auto token = order.begin(); token != end; ++token) {
    found.push_back({*token, total.log_probability(logit(*token))});
  }
  return found;
}

}  // namespace spikegpt
