#include "spikegpt/neurons/surrogate.h"

#include <array>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

struct NamedKind {
  std::string_view name;
  SurrogateKind kind;
};

constexpr std::array<NamedKind, 18> kKinds = {{{"atan", SurrogateKind::kAtan},
                                              {"sigmoid", SurrogateKind::kSigmoid},
                                              {"piecewise_quadratic", SurrogateKind::kPiecewiseQuadratic},
                                              {"piecewise_exp", SurrogateKind::kPiecewiseExp},
                                              {"soft_sign", SurrogateKind::kSoftSign},
                                              {"erf", SurrogateKind::kErf},
                                              {"gaussian", SurrogateKind::kGaussian},
                                              {"straight_through", SurrogateKind::kStraightThrough},
                                              {"super_spike", SurrogateKind::kSuperSpike},
                                              {"nonzero_sign_log_abs", SurrogateKind::kNonzeroSignLogAbs},
                                              {"piecewise_leaky_relu", SurrogateKind::kPiecewiseLeakyRelu},
                                              {"squarewave_fourier_series", SurrogateKind::kSquarewaveFourierSeries},
                                              {"s2nn", SurrogateKind::kS2nn},
                                              {"q_pseudo_spike", SurrogateKind::kQPseudoSpike},
                                              {"leaky_k_relu", SurrogateKind::kLeakyKRelu},
                                              {"fake_numerical_gradient", SurrogateKind::kFakeNumericalGradient},
                                              {"log_tailed_relu", SurrogateKind::kLogTailedRelu},
                                              {"rect", SurrogateKind::kRect}}};

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

bool uses_beta(SurrogateKind kind) noexcept {
  return kind == SurrogateKind::kPiecewiseLeakyRelu || kind == SurrogateKind::kSquarewaveFourierSeries ||
         kind == SurrogateKind::kS2nn || kind == SurrogateKind::kLeakyKRelu;
}

void check_surrogate(const Surrogate& surrogate) {
  const auto alpha = static_cast<double>(surrogate.alpha);
  const auto beta = static_cast<double>(surrogate.beta);
  const auto expected = [&](const char* what) { return fmt::format("{} with {}", what, name_of(surrogate.kind)); };
  if (surrogate.kind == SurrogateKind::kLogTailedRelu) {
    check_setting(alpha >= 0.0 && alpha <= 1e6, "alpha", alpha, expected("0 to 1e6"));
  } else if (surrogate.kind == SurrogateKind::kQPseudoSpike) {
    check_setting(alpha > 1.0 && alpha <= 1e6, "alpha", alpha, expected("more than 1, at most 1e6"));
  } else {
    check_setting(alpha > 0.0, "alpha", alpha, "a positive number");
  }
  if (surrogate.kind == SurrogateKind::kSquarewaveFourierSeries) {
    check_setting(beta >= 2.0 && beta <= 64.0 && beta == static_cast<int>(beta), "surrogate_beta", beta,
                  expected("a whole number, 2 to 64,"));
  } else if (uses_beta(surrogate.kind)) {
    check_setting(beta >= 0.0 && beta <= 1e6, "surrogate_beta", beta, expected("0 to 1e6"));
  } else {
    check_setting(surrogate.beta == Surrogate{}.beta, "surrogate_beta", beta,
                  expected("no such setting"));
  }
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
