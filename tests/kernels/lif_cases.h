// The neurons that the tests of the spike scan go through.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/neurons/lif.h"

namespace spikegpt::test {

struct LifCase {
  std::string name;
  LifParameters parameters;
};

// Every combination of the four formulas with every other setting at least once away from its
// default.
inline const std::vector<LifCase>& lif_cases() {
  static const std::vector<LifCase> cases = [] {
    std::vector<LifCase> all = {{"default", {}}};
    const auto add = [&](const char* name, auto&& change) {
      LifParameters parameters;
      change(parameters);
      all.push_back({name, parameters});
    };
    add("detached", [](LifParameters& p) { p.detach_reset = true; });
    add("soft", [](LifParameters& p) { p.hard_reset = false; });
    add("soft, detached", [](LifParameters& p) { p.hard_reset = false, p.detach_reset = true; });
    add("raw input", [](LifParameters& p) { p.decay_input = false, p.tau = 1.7f, p.v_threshold = 1.6f; });
    add("soft, raw input",
        [](LifParameters& p) { p.hard_reset = false, p.decay_input = false, p.tau = 1.3f, p.v_threshold = 1.9f; });
    add("other reset", [](LifParameters& p) { p.v_reset = -0.4f, p.v_threshold = 0.8f, p.tau = 2.7f; });
    add("raw input, other reset, detached", [](LifParameters& p) {
      p.v_reset = 0.25f, p.decay_input = false, p.detach_reset = true, p.tau = 3.0f, p.v_threshold = 2.0f;
    });
    add("signed", [](LifParameters& p) { p.hard_reset = false, p.is_signed = true; });
    add("three levels", [](LifParameters& p) { p.hard_reset = false, p.levels = 3, p.v_threshold = 0.6f; });
    add("signed, two levels, detached", [](LifParameters& p) {
      p.hard_reset = false, p.levels = 2, p.is_signed = true, p.detach_reset = true, p.v_threshold = 0.5f, p.tau = 1.4f;
    });
    add("no memory", [](LifParameters& p) { p.tau = 1.0f, p.surrogate = {SurrogateKind::kSigmoid, 4.0f}; });
    return all;
  }();
  return cases;
}

inline const std::vector<SurrogateKind>& all_surrogates() {
  static const std::vector<SurrogateKind> kinds = {
      SurrogateKind::kAtan,         SurrogateKind::kSigmoid,        SurrogateKind::kPiecewiseQuadratic,
      SurrogateKind::kPiecewiseExp, SurrogateKind::kSoftSign,       SurrogateKind::kErf,
      SurrogateKind::kGaussian,     SurrogateKind::kStraightThrough};
  return kinds;
}

// How long a sequence to run smoothly. The primitive of straight-through leaves [0, 1], and a hard
// reset by such numbers is an unstable map: any rounding grows without bound.
inline std::int64_t smooth_tokens(SurrogateKind kind) { return kind == SurrogateKind::kStraightThrough ? 3 : 17; }

}  // namespace spikegpt::test
