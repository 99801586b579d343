#include "spikegpt/infer/state_file.h"

#include <charconv>
#include <cstring>

#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/safetensors.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr const char* kFormat = "spikegpt-state";
constexpr const char* kVersion = "2";
constexpr const char* kMadeBy = "the state of a text";

template <class... Args>
[[noreturn]] void refuse(const WeightFile& file, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kCorruptFile, "{}: {}", file.path().string(),
              fmt::format(format, std::forward<Args>(args)...));
}

template <class Number>
Number number_at(const WeightFile& file, const std::string& key) {
  const std::string& text = file.metadata_at(key, kMadeBy);
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && !text.starts_with('-')) return value;
  refuse(file, "{} is \"{}\"; expected a whole number", key, printable(text));
}

// The values of a vector that the file need not have.
template <class T>
std::vector<T> values_at(const WeightFile& file, const std::string& name, DType dtype) {
  const TensorView* const tensor = file.find(name);
  if (tensor == nullptr) return {};
  if (tensor->dtype != dtype || tensor->shape.size() != 1) {
    refuse(file, "tensor \"{}\" is {} of {} dimensions; expected {} of one", name, name_of(tensor->dtype),
           tensor->shape.size(), name_of(dtype));
  }
  std::vector<T> values(tensor->data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
  return values;
}

std::vector<TokenId> tokens_at(const WeightFile& file, const std::string& name, std::int64_t vocab_size) {
  std::vector<TokenId> tokens = values_at<TokenId>(file, name, DType::kI32);
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size) {
      refuse(file, "tensor \"{}\" has token {}; expected 0 to {}", name, token, vocab_size - 1);
    }
  }
  return tokens;
}

std::string bytes_at(const WeightFile& file, const std::string& name) {
  const std::vector<char> bytes = values_at<char>(file, name, DType::kU8);
  return {bytes.begin(), bytes.end()};
}

SamplerConfig sampler_at(const WeightFile& file) {
  SamplerConfig config;
  const std::string where = file.path().string() + ": sampler";
  const Json json = Json::parse(file.metadata_at("sampler", kMadeBy), nullptr, false);
  if (!json.is_object()) refuse(file, "sampler is no JSON object");
  read_fields(json, where, config);
  try {
    validate(config);
  } catch (const Error& error) {
    refuse(file, "sampler: {}", error.what());
  }
  return config;
}

UnfinishedCharacter unfinished_at(const WeightFile& file) {
  UnfinishedCharacter unfinished = {bytes_at(file, "unfinished"),
                                    number_at<std::size_t>(file, "unfinished_shown")};
  const std::string& bytes = unfinished.bytes;
  const Utf8Step step = bytes.empty() ? Utf8Step{0, 0, false, true} : decode_utf8(bytes);
  if (!step.truncated || static_cast<std::size_t>(step.length) != bytes.size() ||
      unfinished.shown > bytes.size()) {
    refuse(file, "the {} bytes of \"unfinished\", {} of them shown, do not begin a character", bytes.size(),
           unfinished.shown);
  }
  return unfinished;
}

WritingState writing_at(const WeightFile& file, std::int64_t vocab_size) {
  WritingState state;
  state.pending = tokens_at(file, "pending", vocab_size);
  const std::string& ended = file.metadata_at("ended", kMadeBy);
  if (ended != "true" && ended != "false")
    refuse(file, "ended is \"{}\"; expected true or false", printable(ended));
  state.ended = ended == "true";
  state.sampler = sampler_at(file);
  state.drawn = {number_at<std::uint64_t>(file, "random_counter"), tokens_at(file, "recent", vocab_size)};
  for (std::size_t i = 0; file.find(fmt::format("stop.{}", i)) != nullptr; ++i) {
    state.stop.push_back(bytes_at(file, fmt::format("stop.{}", i)));
  }
  state.held = bytes_at(file, "held");
  state.unfinished = unfinished_at(file);
  return state;
}

// Adds a vector, unless it is empty.
template <class Values>
void add(std::vector<TensorView>& tensors, const std::string& name, DType dtype, const Values& values) {
  if (values.empty()) return;
  tensors.push_back({name, dtype, {std::ssize(values)}, std::as_bytes(std::span(values))});
}

}  // namespace

void save_state(const std::filesystem::path& path, const PackedModel& model, const SessionState& session,
                const WritingState& writing) {
  ensure(session.memory.batch() == 1, "a state of one sequence");
  std::vector<TensorView> tensors;
  session.memory.visit([&](const std::string& name, const float* values, std::int64_t channels) {
    const std::span<const float> part(values, static_cast<std::size_t>(channels));
    tensors.push_back({name, DType::kF32, {channels}, std::as_bytes(part)});
  });
  add(tensors, "pending", DType::kI32, writing.pending);
  add(tensors, "recent", DType::kI32, writing.drawn.recent);
  add(tensors, "held", DType::kU8, writing.held);
  add(tensors, "unfinished", DType::kU8, writing.unfinished.bytes);
  for (std::size_t i = 0; i < writing.stop.size(); ++i) {
    add(tensors, fmt::format("stop.{}", i), DType::kU8, writing.stop[i]);
  }
  write_safetensors(path,
                    {{"format", kFormat},
                     {"version", kVersion},
                     {"model", model.fingerprint()},
                     {"tokens_read", std::to_string(session.tokens_read)},
                     {"ended", writing.ended ? "true" : "false"},
                     {"sampler", fields_to_json(writing.sampler).dump()},
                     {"random_counter", std::to_string(writing.drawn.random_counter)},
                     {"unfinished_shown", std::to_string(writing.unfinished.shown)}},
                    tensors);
}

SavedText load_state(const std::filesystem::path& path, const PackedModel& model) {
  const WeightFile file = read_safetensors(path);
  const std::string& format = file.metadata_at("format", kMadeBy);
  const std::string& version = file.metadata_at("version", kMadeBy);
  if (format != kFormat || (version != "1" && version != kVersion)) {
    throw Error(ErrorKind::kUnsupported,
                "{}: format \"{}\", version \"{}\"; this program reads \"{}\", versions 1 and {}",
                path.string(), printable(format), printable(version), kFormat, kVersion);
  }
  if (file.metadata_at("model", kMadeBy) != model.fingerprint()) {
    throw Error(
        ErrorKind::kInvalidArgument,
        "{} was made by another model, or by this one in another weight type (fingerprint {}, here {})",
        path.string(), printable(file.metadata_at("model", kMadeBy)), model.fingerprint());
  }
  SavedText saved = {{RecurrentState(model.config(), 1), number_at<std::int64_t>(file, "tokens_read")}, {}};
  saved.session.memory.visit([&](const std::string& name, float* values, std::int64_t channels) {
    read_floats(file, name, {channels}, {values, static_cast<std::size_t>(channels)});
  });
  if (version != "1") saved.writing = writing_at(file, model.config().vocab_size);
  return saved;
}

}  // namespace spikegpt
