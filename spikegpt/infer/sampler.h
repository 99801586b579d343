// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/core/random.h"

namespace spikegpt {

struct SamplerConfig {
  double temperature = 1.0;
  double top_p = 0.85;
  int top_k = 0;
  double repetition_penalty = 1.0;
  int repetition_window = 256;
  std::uint64_t seed = 1;

  // As ModelConfig::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("temperature", self.temperature, "above 1 more surprising, below 1 safer, 0 = always the likeliest");
    visitor("top_p", self.top_p, "choose among the likeliest tokens that together have this probability");
    visitor("top_k", self.top_k, "choose among this many likeliest tokens; 0 = all");
    visitor("repetition_penalty", self.repetition_penalty, "above 1 makes recent tokens less likely");
    visitor("repetition_window", self.repetition_window, "how many recent tokens that looks at");
    visitor("seed", self.seed, "the same seed gives the same text");
  }
};

// Throws Error (kInvalidArgument) that names the key, its value and what is expected.
void validate(const SamplerConfig& config);

// What a sampler remembers.
struct SamplerState {
  std::uint64_t random_counter = 0;  // numbers drawn
  std::vector<std::int32_t> recent;  // tokens that the repetition penalty looks at, the oldest first
};

// Draws tokens. The order of the public code: penalty, top-k, top-p, then the temperature as p^(1/temperature)
// on what is left (SPEC.md 9).
class Sampler {
 public:
  explicit Sampler(const SamplerConfig& config, const SamplerState& state = {});

  // logits [V]. Remembers the token for the repetition penalty. Throws Error (kDiverged) when one is not finite.
  std::int32_t sample(std::span<const float> logits);
  // Tells it of a token it did not draw: the prompt.
  void observe(std::int32_t token);

  const SamplerConfig& config() const noexcept { return config_; }
  SamplerState state() const { return {random_.counter(), {recent_.begin(), recent_.end()}}; }

 private:
  struct Candidate {
    std::int32_t token;
    float logit;
    double probability;
  };
  void penalise(std::span<const float> logits);
  void cut();

  SamplerConfig config_;
  RandomStream random_;
  std::deque<std::int32_t> recent_;
  std::vector<Candidate> candidates_;
};

}  // namespace spikegpt
