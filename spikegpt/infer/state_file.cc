#include <charconv>

#include "spikegpt/core/error.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFormat = "spikegpt-state";
constexpr const char* kVersion = "1";
constexpr const char* kMadeBy = "the state of a session";

std::int64_t tokens_read_of(const WeightFile& file) {
  const std::string& text = file.metadata_at("tokens_read", kMadeBy);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  throw Error(ErrorKind::kCorruptFile, "{}: tokens_read is \"{}\"; expected a whole number", file.path().string(),
              printable(text));
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
  if (file.metadata_at("format", kMadeBy) != kFormat || file.metadata_at("version", kMadeBy) != kVersion) {
    throw Error(ErrorKind::kUnsupported, "{}: format \"{}\", version \"{}\"; this program reads \"{}\", \"{}\"",
                path.string(), printable(file.metadata_at("format", kMadeBy)),
                printable(file.metadata_at("version", kMadeBy)), kFormat, kVersion);
  }
  if (file.metadata_at("model", kMadeBy) != model.fingerprint()) {
    throw Error(ErrorKind::kInvalidArgument,
                "{} was made by another model, or by this one in another weight type (fingerprint {}, here {})",
                path.string(), printable(file.metadata_at("model", kMadeBy)), model.fingerprint());
  }
  SessionState state{RecurrentState(model.config(), 1), tokens_read_of(file)};
  state.memory.visit([&](const std::string& name, float* values, std::int64_t channels) {
    read_floats(file, name, {channels}, {values, static_cast<std::size_t>(channels)});
  });
  return state;
}

}  // namespace spikegpt
