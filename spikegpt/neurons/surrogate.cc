#include "spikegpt/neurons/surrogate.h"

#include <array>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

struct NamedKind {
  std::string_view name;
  SurrogateKind kind;
};

constexpr std::array<NamedKind, 8> kKinds = {{{"atan", SurrogateKind::kAtan},
                                              {"sigmoid", SurrogateKind::kSigmoid},
                                              {"piecewise_quadratic", SurrogateKind::kPiecewiseQuadratic},
                                              {"piecewise_exp", SurrogateKind::kPiecewiseExp},
                                              {"soft_sign", SurrogateKind::kSoftSign},
                                              {"erf", SurrogateKind::kErf},
                                              {"gaussian", SurrogateKind::kGaussian},
                                              {"straight_through", SurrogateKind::kStraightThrough}}};

}  // namespace

SurrogateKind surrogate_kind(std::string_view name) {
  for (const NamedKind& entry : kKinds) {
    if (entry.name == name) return entry.kind;
  }
  throw Error(ErrorKind::kInvalidArgument, "surrogate \"{}\" is not known; expected one of {}", name,
              surrogate_names());
}

std::string_view name_of(SurrogateKind kind) {
  for (const NamedKind& entry : kKinds) {
    if (entry.kind == kind) return entry.name;
  }
  throw Bug("surrogate kind without a name");
}

std::string surrogate_names() {
  std::string names;
  for (const NamedKind& entry : kKinds) {
    if (!names.empty()) names += ", ";
    names += entry.name;
  }
  return names;
}

}  // namespace spikegpt
