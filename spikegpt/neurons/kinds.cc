#include "spikegpt/neurons/kinds.h"

#include "spikegpt/core/error.h"

namespace spikegpt {

NeuronKind neuron_kind(std::string_view name) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i]->name == name) return static_cast<NeuronKind>(i);
  }
  const auto cannot_stream = [&](const char* reason) {
    return Error(ErrorKind::kUnsupported, "neuron \"{}\" cannot read a text token by token: {}; known are {}",
                 name, reason, neuron_names());
  };
  if (name == "psn") {
    throw cannot_stream(
        "its weights mix later steps into earlier ones, over a length fixed in advance (try sliding_psn)");
  }
  if (name == "masked_psn") {
    throw cannot_stream("it has weights for every step of a length fixed in advance (try sliding_psn)");
  }
  if (name == "glif" || name == "gated_lif") {
    throw cannot_stream("it has a conductance for every step of a length fixed in advance (try plif)");
  }
  throw Error(ErrorKind::kInvalidArgument, "neuron \"{}\" is not known; expected one of {}", name,
              neuron_names());
}

std::string neuron_names() {
  std::string names;
  for (const NeuronInfo* info : kKinds) {
    if (!names.empty()) names += ", ";
    names += info->name;
  }
  return names;
}

}  // namespace spikegpt
