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
    const std::string& name = info.name;
    const auto ends = [&](std::string_view suffix) { return name.ends_with(suffix); };
    if (name == "emb.weight") return embedding(info, values);
    if (ends("time_decay")) return time_decay(layer_of(name), values);
    if (ends("time_first")) return time_first(values);
    if (name.find("time_mix_") != std::string::npos) return time_mix(name, values);
    if (ends(".leak")) return constant(info, leak_parameter(config_.tau), values);
    if (ends(".k")) return constant(info, static_cast<float>(config_.neuron_settings.klif.k), values);
    if (ends(".taps")) return taps(info, values);
    if (ends("gain")) return constant(info, event_gain_, values);
    if (name.find("ln") != std::string::npos) return norm(info, values);
    linear(info, values);
  }

 private:
  RandomStream random(const ParameterInfo& info) const {
    return RandomStream(seed_, RandomPurpose::kInit, hash_name(info.name));
  }

  void taps(const ParameterInfo& info, float* values) const {
    const int count = config_.neuron_settings.sliding.taps;
    const std::int64_t each = info.size / (count + 1);  // 1, or one for every neuron
    for (int j = 0; j <= count; ++j) std::fill_n(values + j * each, each, SlidingPsn::first(j, count));
  }

  static int layer_of(const std::string& name) { return std::stoi(name.substr(name.find('.') + 1)); }
  // a of SPEC.md 3: 0 in the first block, 1 in the last.
  double depth(int layer) const {
    return config_.n_layer > 1 ? static_cast<double>(layer) / (config_.n_layer - 1) : 0.0;
  }

  static void constant(const ParameterInfo& info, float value, float* values) { std::fill_n(values, info.size, value); }

  void norm(const ParameterInfo& info, float* values) const {
    if (info.name.ends_with("bias")) return constant(info, 0.0f, values);
    const bool drives_neurons = config_.is_event() && (info.name.find(".ln1.") != std::string::npos ||
                                                       info.name.find(".ln2.") != std::string::npos ||
                                                       info.name.find(".att.ln_out.") != std::string::npos);
    const bool drives_head = config_.event_head && info.name == "ln_out.weight";
    constant(info, drives_neurons || drives_head ? event_gain_ : 1.0f, values);
  }

  void embedding(const ParameterInfo& info, float* values) const {
    if (kind_ == InitKind::kRwkv) {
      const auto larger = static_cast<double>(std::max(info.shape[0], info.shape[1]));
      return orthogonal(info, 1e-4 * std::sqrt(larger), values);
    }
    RandomStream stream = random(info);
    for (std::int64_t i = 0; i < info.size; ++i) values[i] = static_cast<float>(stream.next_normal());
  }

  void linear(const ParameterInfo& info, float* values) const {
    const auto out = static_cast<double>(info.shape[0]);
    const auto in = static_cast<double>(info.shape[1]);
    if (kind_ == InitKind::kRwkv) {
      if (starts_silent(info.name)) return constant(info, 0.0f, values);
      const double gain = out > in ? std::sqrt(out / in) : 1.0;
      return orthogonal(info, info.name == "head.weight" ? 0.5 * gain : gain, values);
    }
    const double bound = 1.0 / std::sqrt(in);
    RandomStream stream = random(info);
    for (std::int64_t i = 0; i < info.size; ++i) {
      values[i] = static_cast<float>(bound * (2.0 * stream.next_uniform() - 1.0));
    }
  }

  static bool starts_silent(const std::string& name) {
    for (const char* suffix : {"att.key.weight", "att.receptance.weight", "att.output.weight", "ffn.value.weight",
                               "ffn.receptance.weight", "ffnPre.value.weight", "ffnPre.receptance.weight"}) {
      if (name.ends_with(suffix)) return true;
    }
    return false;
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

  void time_decay(int layer, float* values) const {
    const int C = config_.n_embd;
    for (int c = 0; c < C; ++c) {
      const double ramp = C > 1 ? static_cast<double>(c) / (C - 1) : 0.0;
      values[c] = static_cast<float>(-5.0 + 8.0 * std::pow(ramp, 0.7 + 1.3 * depth(layer)));
    }
  }

  void time_first(float* values) const {
    for (int c = 0; c < config_.n_embd; ++c) {
      values[c] = static_cast<float>(std::log(0.3) + 0.5 * ((c + 1) % 3 - 1));
    }
  }

  void time_mix(const std::string& name, float* values) const {
    const int layer = layer_of(name);
    const double b = 1.0 - static_cast<double>(layer) / config_.n_layer;
    const bool attention = name.find(".att.") != std::string::npos;
    const char which = name.back();
    for (int c = 0; c < config_.n_embd; ++c) {
      const double ramp = static_cast<double>(c) / config_.n_embd;
      double mu = std::pow(ramp, attention && which == 'r' ? 0.5 * b : b);
      if (which == 'v') mu += 0.3 * depth(layer);
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
