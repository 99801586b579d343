// The kinds of neurons, with every setting at least once away from its default, and the ways to fire.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "spikegpt/neurons/kinds.h"

namespace spikegpt::test {

struct NeuronCase {
  std::string name;
  NeuronParameters parameters;
};

// Every kind but LIF, which lif_cases.h has more of, with its defaults, then with others. All fire once, hard
// reset.
inline std::vector<NeuronCase> kind_cases() {
  std::vector<NeuronCase> cases;
  const auto add = [&](NeuronKind kind, const char* what, auto&& change) {
    NeuronParameters p;
    p.kind = kind;
    change(p);
    cases.push_back({std::string(info_of(kind).name) + what, p});
  };
  const auto nothing = [](NeuronParameters&) {};
  add(NeuronKind::kLif, "", nothing);
  add(NeuronKind::kParametricLif, "", nothing);
  add(NeuronKind::kParametricLif, ", raw input", [](NeuronParameters& p) { p.decay_input = false; });
  add(NeuronKind::kIntegrateFire, "", nothing);
  add(NeuronKind::kIntegrateFire, ", other reset",
      [](NeuronParameters& p) { p.v_reset = -0.3f, p.v_threshold = 0.7f; });
  add(NeuronKind::kQif, "", nothing);
  add(NeuronKind::kQif, ", others", [](NeuronParameters& p) {
    p.tau = 2.6f, p.v_reset = -0.2f, p.v_threshold = 1.2f, p.own.qif = {-0.1, 0.6, 0.8};
  });
  add(NeuronKind::kEif, "", nothing);
  add(NeuronKind::kEif, ", others", [](NeuronParameters& p) {
    p.tau = 2.6f, p.v_reset = -0.2f, p.v_threshold = 1.1f, p.own.eif = {0.05, 0.6, 0.7};
  });
  add(NeuronKind::kIzhikevich, "", nothing);
  add(NeuronKind::kIzhikevich, ", others", [](NeuronParameters& p) {
    p.tau = 3.0f, p.v_reset = -0.1f, p.v_threshold = 1.3f,
    p.own.izhikevich = {0.02, 0.7, 0.9, 0.03, 3.0, 0.2, 0.1};
  });
  add(NeuronKind::kKlif, "", nothing);
  add(NeuronKind::kKlif, ", scaled reset", [](NeuronParameters& p) {
    p.tau = 2.5f, p.v_reset = 0.1f, p.own.klif.scale_reset = true, p.decay_input = false;
  });
  add(NeuronKind::kAdaptiveLif, "", nothing);
  add(NeuronKind::kAdaptiveLif, ", others", [](NeuronParameters& p) {
    p.tau = 1.6f, p.v_reset = -0.2f, p.v_threshold = 0.8f, p.decay_input = false, p.own.adaptive = {0.7, 4.0};
  });
  add(NeuronKind::kCurrentLif, "", nothing);
  add(NeuronKind::kCurrentLif, ", others",
      [](NeuronParameters& p) { p.tau = 3.0f, p.v_reset = -0.2f, p.own.current.tau_s = 0.7; });
  add(NeuronKind::kSlidingPsn, "", nothing);
  add(NeuronKind::kSlidingPsn, ", one tap", [](NeuronParameters& p) { p.own.sliding.taps = 1; });
  add(NeuronKind::kSlidingPsn, ", 11 taps", [](NeuronParameters& p) { p.own.sliding.taps = 11; });
  return cases;
}

// The ways to fire that a kind is tried in: both resets, the reset detached, and all that soft resets go
// with.
inline std::vector<NeuronCase> ways_to_fire(const NeuronCase& kind) {
  std::vector<NeuronCase> cases;
  const auto add = [&](const char* what, auto&& change) {
    NeuronParameters p = kind.parameters;
    change(p);
    if (!p.hard_reset) p.v_reset = 0.0f;
    cases.push_back({kind.name + what, p});
  };
  add("", [](NeuronParameters&) {});
  add(", detached", [](NeuronParameters& p) { p.detach_reset = true; });
  add(", soft", [](NeuronParameters& p) { p.hard_reset = false; });
  add(", soft, detached", [](NeuronParameters& p) { p.hard_reset = false, p.detach_reset = true; });
  add(", three levels",
      [](NeuronParameters& p) { p.hard_reset = false, p.levels = 3, p.v_threshold *= 0.6f; });
  add(", signed, two levels", [](NeuronParameters& p) {
    p.hard_reset = false, p.levels = 2, p.is_signed = true, p.v_threshold *= 0.5f;
  });
  add(", dead zone", [](NeuronParameters& p) { p.hard_reset = false, p.payload_steps = 4; });
  add(", signed dead zone", [](NeuronParameters& p) {
    p.hard_reset = false, p.payload_steps = 2, p.is_signed = true, p.v_threshold *= 0.7f;
  });
  return cases;
}

inline std::vector<NeuronCase> neuron_cases() {
  std::vector<NeuronCase> all;
  for (const NeuronCase& kind : kind_cases()) {
    for (const NeuronCase& way : ways_to_fire(kind)) all.push_back(way);
  }
  return all;
}

}  // namespace spikegpt::test
