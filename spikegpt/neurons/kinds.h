// The one list of kinds of neurons. Configuration, flags, help, scans, states, the energy account and the
// tests read it. To add one: a header beside this one, and here a name in NeuronKind, a line in kKinds, and
// for one with settings a member of NeuronSettings; a line in with_neuron (docs/neurons.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "spikegpt/neurons/adaptive_lif.h"
#include "spikegpt/neurons/current_lif.h"
#include "spikegpt/neurons/eif.h"
#include "spikegpt/neurons/integrate_fire.h"
#include "spikegpt/neurons/izhikevich.h"
#include "spikegpt/neurons/klif.h"
#include "spikegpt/neurons/lif.h"
#include "spikegpt/neurons/parametric_lif.h"
#include "spikegpt/neurons/qif.h"
#include "spikegpt/neurons/sliding_psn.h"

namespace spikegpt {

enum class NeuronKind : std::uint8_t {
  kLif,
  kParametricLif,
  kIntegrateFire,
  kQif,
  kEif,
  kIzhikevich,
  kKlif,
  kAdaptiveLif,
  kCurrentLif,
  kSlidingPsn,
};

// In the order of NeuronKind.
inline constexpr std::array<const NeuronInfo*, 10> kKinds = {
    &kLifInfo,        &kParametricLifInfo, &kIntegrateFireInfo, &kQifInfo,        &kEifInfo,
    &kIzhikevichInfo, &kKlifInfo,          &kAdaptiveLifInfo,   &kCurrentLifInfo, &kSlidingPsnInfo};

inline const NeuronInfo& info_of(NeuronKind kind) noexcept { return *kKinds[static_cast<std::size_t>(kind)]; }

// "lif", "qif", ...; throws Error: kUnsupported with the reason for neurons that cannot stream,
// kInvalidArgument with the known names for others.
NeuronKind neuron_kind(std::string_view name);
std::string neuron_names();

// What kinds have of their own.
struct NeuronSettings {
  QifSettings qif;
  EifSettings eif;
  IzhikevichSettings izhikevich;
  KlifSettings klif;
  AdaptiveLifSettings adaptive;
  CurrentLifSettings current;
  SlidingPsnSettings sliding;
  bool operator==(const NeuronSettings&) const = default;

  // Calls visitor(kind, key, field, help, least, most) for every setting.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    const auto of = [&](NeuronKind kind) {
      return [&visitor, kind](const char* key, auto& field, const char* help, auto least, auto most) {
        visitor(kind, key, field, help, least, most);
      };
    };
    QifSettings::visit(self.qif, of(NeuronKind::kQif));
    EifSettings::visit(self.eif, of(NeuronKind::kEif));
    IzhikevichSettings::visit(self.izhikevich, of(NeuronKind::kIzhikevich));
    KlifSettings::visit(self.klif, of(NeuronKind::kKlif));
    AdaptiveLifSettings::visit(self.adaptive, of(NeuronKind::kAdaptiveLif));
    CurrentLifSettings::visit(self.current, of(NeuronKind::kCurrentLif));
    SlidingPsnSettings::visit(self.sliding, of(NeuronKind::kSlidingPsn));
  }
};

// A kind and all its settings: what a scan runs.
struct NeuronParameters : LifParameters {
  NeuronKind kind = NeuronKind::kLif;
  NeuronSettings own;

  NeuronParameters() = default;
  NeuronParameters(const LifParameters& shared) : LifParameters(shared) {}  // NOLINT: a LIF is a neuron

  // Numbers it carries from token to token.
  int states() const noexcept {
    return kind == NeuronKind::kSlidingPsn ? own.sliding.taps - 1
                                           : static_cast<int>(info_of(kind).states.size());
  }
  // Numbers it learns.
  int learned() const noexcept {
    return kind == NeuronKind::kSlidingPsn ? own.sliding.taps + 1
                                           : static_cast<int>(info_of(kind).learned.size());
  }
  // Whether the backward pass needs a second number of every token beside the distance from the threshold.
  bool keeps_more() const noexcept;
  // Whether its threshold depends on that number.
  bool moves_threshold() const noexcept;
  // State i before the first token.
  float rest(int i) const noexcept;
  // Number i of what it learns as it is stored, before training; `exact_tau` is the setting behind tau.
  float first_learned(int i, double exact_tau) const noexcept;
};

// Calls function(Neuron) with the formulas of the kind. Not for kSlidingPsn, whose state is a window of
// inputs.
template <class Function>
SPIKEGPT_INLINE void with_neuron(const NeuronParameters& p, Function&& function) {
  const bool hard = p.hard_reset;
  const bool decay = p.decay_input;
  switch (p.kind) {
    case NeuronKind::kLif:
      if (hard && decay) return function(Lif<true, true>(p));
      if (hard) return function(Lif<true, false>(p));
      if (decay) return function(Lif<false, true>(p));
      return function(Lif<false, false>(p));
    case NeuronKind::kParametricLif:
      if (hard && decay) return function(ParametricLif<true, true>(p));
      if (hard) return function(ParametricLif<true, false>(p));
      if (decay) return function(ParametricLif<false, true>(p));
      return function(ParametricLif<false, false>(p));
    case NeuronKind::kIntegrateFire: return function(IntegrateFire(p));
    case NeuronKind::kQif: return function(Qif(p, p.own.qif));
    case NeuronKind::kEif: return function(Eif(p, p.own.eif));
    case NeuronKind::kIzhikevich: return function(Izhikevich(p, p.own.izhikevich));
    case NeuronKind::kKlif:
      if (p.own.klif.scale_reset) return function(Klif<true>(p, p.own.klif));
      return function(Klif<false>(p, p.own.klif));
    case NeuronKind::kAdaptiveLif: return function(AdaptiveLif(p, p.own.adaptive));
    case NeuronKind::kCurrentLif: return function(CurrentLif(p, p.own.current));
    case NeuronKind::kSlidingPsn: return;
  }
}

inline bool NeuronParameters::keeps_more() const noexcept {
  bool keeps = kind == NeuronKind::kSlidingPsn;
  with_neuron(*this, [&](const auto& neuron) { keeps = neuron.kKeeps >= 0; });
  return keeps;
}
inline bool NeuronParameters::moves_threshold() const noexcept {
  bool moves = false;
  with_neuron(*this, [&](const auto& neuron) { moves = neuron.kMovesThreshold; });
  return moves;
}
inline float NeuronParameters::rest(int i) const noexcept {
  float value = 0.0f;
  with_neuron(*this, [&](const auto& neuron) { value = neuron.rest(i); });
  return value;
}
inline float NeuronParameters::first_learned(int i, double exact_tau) const noexcept {
  if (kind == NeuronKind::kSlidingPsn) return SlidingPsn(*this, own.sliding).first_learned(i, exact_tau);
  float value = 0.0f;
  with_neuron(*this, [&](const auto& neuron) {
    if constexpr (std::decay_t<decltype(neuron)>::kLearned > 0) value = neuron.first_learned(i, exact_tau);
  });
  return value;
}

}  // namespace spikegpt
