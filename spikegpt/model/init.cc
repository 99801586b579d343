#include "spikegpt/model/init.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/random.h"
#include "spikegpt/model/parameters.h"

namespace spikegpt {
namespace {

std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash & 0xffffffffffffu;  // 48 bits: the rest of a stream's number is its purpose
}

// Makes the rows of m [rows, columns], rows <= columns, orthonormal (modified Gram-Schmidt, twice for safety).
void orthonormalise_rows(std::vector<double>& m, std::int64_t rows, std::int64_t columns) {
  const auto row = [&](std::int64_t i) { return m.data() + i * columns; };
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t again = 0; again < 2; ++again) {
      for (std::int64_t j = 0; j < i; ++j) {
        double dot = 0.0;
        for (std::int64_t c = 0; c < columns; ++c) dot += row(i)[c] * row(j)[c];
        for (std::int64_t c = 0; c < columns; ++c) row(i)[c] -= dot * row(j)[c];
      }
    }
    double norm = 0.0;
    for (std::int64_t c = 0; c < columns; ++c) norm += row(i)[c] * row(i)[c];
    norm = std::sqrt(norm);
    for (std::int64_t c = 0; c < columns; ++c) row(i)[c] /= norm;
  }
}

class Initialiser {
 public:
  Initialiser(const ModelConfig& config, InitKind kind, std::uint64_t seed, double event_gain)
      : config_(config), kind_(kind), seed_(seed), event_gain_(static_cast<float>(event_gain)) {}

  void fill(const ParameterInfo& info, float* values) const {
    switch (info.first.kind) {
      case FirstValues::Kind::kConstant: return constant(info, static_cast<float>(info.first.value), values);
      case FirstValues::Kind::kGain: return constant(info, event_gain_, values);
      case FirstValues::Kind::kEmbedding: return embedding(info, values);
      case FirstValues::Kind::kMatrix: return matrix(info, values);
      case FirstValues::Kind::kTimeDecay: return time_decay(info, values);
      case FirstValues::Kind::kTimeFirst: return time_first(info, values);
      case FirstValues::Kind::kTimeMix: return time_mix(info, values);
      case FirstValues::Kind::kEach: return each(info, values);
    }
  }

 private:
  RandomStream random(const ParameterInfo& info) const {
    return RandomStream(seed_, RandomPurpose::kInit, hash_name(info.name));
  }

  static void each(const ParameterInfo& info, float* values) {
    const std::int64_t share = info.size / static_cast<std::int64_t>(info.first.values.size());
    for (const float first : info.first.values) values = std::fill_n(values, share, first);
  }

  // a of SPEC.md 3: 0 in the first block, 1 in the last.
  double depth(int layer) const {
    return config_.n_layer > 1 ? static_cast<double>(layer) / (config_.n_layer - 1) : 0.0;
  }

  static void constant(const ParameterInfo& info, float value, float* values) { std::fill_n(values, info.size, value); }

  void embedding(const ParameterInfo& info, float* values) const {
    if (kind_ == InitKind::kRwkv) {
      const auto larger = static_cast<double>(std::max(info.shape[0], info.shape[1]));
      return orthogonal(info, 1e-4 * std::sqrt(larger), values);
    }
    RandomStream stream = random(info);
    for (std::int64_t i = 0; i < info.size; ++i) values[i] = static_cast<float>(stream.next_normal());
  }

  void matrix(const ParameterInfo& info, float* values) const {
    const auto out = static_cast<double>(info.shape[0]);
    const auto in = static_cast<double>(info.shape[1]);
    if (kind_ == InitKind::kRwkv) {
      if (info.first.silent) return constant(info, 0.0f, values);
      const double gain = out > in ? std::sqrt(out / in) : 1.0;
      return orthogonal(info, info.first.scale * gain, values);
    }
    const double bound = 1.0 / std::sqrt(in);
    RandomStream stream = random(info);
    for (std::int64_t i = 0; i < info.size; ++i) {
      values[i] = static_cast<float>(bound * (2.0 * stream.next_uniform() - 1.0));
    }
  }

  void orthogonal(const ParameterInfo& info, double gain, float* values) const {
    const std::int64_t rows = info.shape[0];
    const std::int64_t columns = info.shape[1];
    const std::int64_t few = std::min(rows, columns);
    const std::int64_t many = std::max(rows, columns);
    std::vector<double> matrix(static_cast<std::size_t>(info.size));
    RandomStream stream = random(info);
    for (double& value : matrix) value = stream.next_normal();
    orthonormalise_rows(matrix, few, many);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        const std::int64_t at = rows <= columns ? i * many + j : j * many + i;
        values[i * columns + j] = static_cast<float>(gain * matrix[static_cast<std::size_t>(at)]);
      }
    }
  }

  void time_decay(const ParameterInfo& info, float* values) const {
    const std::int64_t C = info.size;
    for (std::int64_t c = 0; c < C; ++c) {
      const double ramp = C > 1 ? static_cast<double>(c) / static_cast<double>(C - 1) : 0.0;
      values[c] = static_cast<float>(-5.0 + 8.0 * std::pow(ramp, 0.7 + 1.3 * depth(info.layer)));
    }
  }

  static void time_first(const ParameterInfo& info, float* values) {
    for (std::int64_t c = 0; c < info.size; ++c) {
      values[c] = static_cast<float>(std::log(0.3) + 0.5 * static_cast<double>((c + 1) % 3 - 1));
    }
  }

  void time_mix(const ParameterInfo& info, float* values) const {
    const double b = 1.0 - static_cast<double>(info.layer) / config_.n_layer;
    for (std::int64_t c = 0; c < info.size; ++c) {
      const double ramp = static_cast<double>(c) / static_cast<double>(info.size);
      const double mu = std::pow(ramp, info.first.scale * b) + info.first.offset * depth(info.layer);
      values[c] = static_cast<float>(mu);
    }
  }

  const ModelConfig& config_;
  InitKind kind_;
  std::uint64_t seed_;
  float event_gain_;
};

}  // namespace

InitKind init_kind(std::string_view name) {
  if (name == "default") return InitKind::kDefault;
  if (name == "rwkv") return InitKind::kRwkv;
  throw Error(ErrorKind::kInvalidArgument, "init = \"{}\": expected default or rwkv", name);
}

void initialise(const ModelConfig& config, InitKind kind, std::uint64_t seed, float* flat, double event_gain) {
  const ParameterLayout layout(config);
  const Initialiser initialiser(config, kind, seed, event_gain);
  for (const ParameterInfo& info : layout.infos()) initialiser.fill(info, flat + info.offset);
}

}  // namespace spikegpt
