#include <algorithm>
#include <charconv>
#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFormat = "spikegpt-state";
constexpr const char* kVersion = "1";

const std::string& metadata_at(const WeightFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found != file.metadata().end()) return found->second;
  throw Error(ErrorKind::kCorruptFile, "{}: the metadata has no \"{}\"; expected the state of a session",
              file.path().string(), key);
}

std::int64_t tokens_read_of(const WeightFile& file) {
  const std::string& text = metadata_at(file, "tokens_read");
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  throw Error(ErrorKind::kCorruptFile, "{}: tokens_read is \"{}\"; expected a whole number", file.path().string(),
              printable(text));
}

void read_part(const WeightFile& file, const std::string& name, std::span<float> values) {
  const TensorView* tensor = file.find(name);
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(values.size())};
  if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->shape != shape) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected a tensor \"{}\" of F32 [{}]", file.path().string(), name,
                values.size());
  }
  copy_as_float(*tensor, values);
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad == values.end()) return;
  throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" holds {} at element {}; expected finite numbers",
              file.path().string(), name, *bad, bad - values.begin());
}

}  // namespace

void save_state(const std::filesystem::path& path, const PackedModel& model, const SessionState& state) {
  ensure(state.memory.batch() == 1, "a state of one sequence");
  std::vector<TensorView> tensors;
  state.memory.visit([&](const std::string& name, const float* values, std::int64_t channels) {
    const std::span<const float> part(values, static_cast<std::size_t>(channels));
    tensors.push_back({name, DType::kF32, {channels}, std::as_bytes(part)});
  });
  write_safetensors(path,
                    {{"format", kFormat},
                     {"version", kVersion},
                     {"model", model.fingerprint()},
                     {"tokens_read", std::to_string(state.tokens_read)}},
                    tensors);
}

SessionState load_state(const std::filesystem::path& path, const PackedModel& model) {
  const WeightFile file = read_safetensors(path);
  if (metadata_at(file, "format") != kFormat || metadata_at(file, "version") != kVersion) {
    throw Error(ErrorKind::kUnsupported, "{}: format \"{}\", version \"{}\"; this program reads \"{}\", \"{}\"",
                path.string(), printable(metadata_at(file, "format")), printable(metadata_at(file, "version")),
                kFormat, kVersion);
  }
  if (metadata_at(file, "model") != model.fingerprint()) {
    throw Error(ErrorKind::kInvalidArgument,
                "{} was made by another model, or by this one in another weight type (fingerprint {}, here {})",
                path.string(), printable(metadata_at(file, "model")), model.fingerprint());
  }
  SessionState state{RecurrentState(model.config(), 1), tokens_read_of(file)};
  state.memory.visit([&](const std::string& name, float* values, std::int64_t channels) {
    read_part(file, name, {values, static_cast<std::size_t>(channels)});
  });
  return state;
}

}  // namespace spikegpt
