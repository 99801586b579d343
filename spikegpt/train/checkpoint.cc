#include "spikegpt/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/model/checksum.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFormat = "spikegpt checkpoint 2";
constexpr const char* kFirstFormat = "spikegpt checkpoint 1";  // without a checksum; of a run only its seconds
constexpr const char* kExpected = "a checkpoint";
constexpr std::string_view kTraining = "training.";  // in front of what is not a parameter
constexpr const char* kFirstMoment = "training.first_moment";
constexpr const char* kSecondMoment = "training.second_moment";
constexpr const char* kAverage = "training.average";

std::filesystem::path checkpoint_folder(const std::filesystem::path& folder) { return folder / "checkpoints"; }

TensorView vector_view(std::string name, std::span<const float> values) {
  return {std::move(name), DType::kF32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(values)};
}

void read_vector(const WeightFile& file, const std::string& name, std::span<float> values) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr || tensor->shape != std::vector{static_cast<std::int64_t>(values.size())}) {
    throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" with the shape [{}] is missing", file.path().string(), name,
                values.size());
  }
  copy_as_float(*tensor, values);
}

// The memory that micro-batch i carries from step to step.
std::string state_name(std::size_t i) { return fmt::format("training.state.{}", i); }

template <class Number>
Number read_number(const WeightFile& file, const std::string& key) {
  const std::string& text = file.metadata_at(key, kExpected);
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorKind::kCorruptFile, "{}: metadata \"{}\" = \"{}\": expected a number", file.path().string(), key,
                printable(text));
  }
  return value;
}

bool is_first_format(const WeightFile& file) {
  const std::string& format = file.metadata_at("format", kExpected);
  if (format == kFormat || format == kFirstFormat) return format == kFirstFormat;
  throw Error(ErrorKind::kCorruptFile, "{} is not a checkpoint: expected format \"{}\"", file.path().string(), kFormat);
}

RunState read_run(const WeightFile& file) {
  RunState run;
  if (is_first_format(file)) {
    run.seconds = read_number<double>(file, "seconds");
    return run;
  }
  const Json json = parse_bounded_json(file.metadata_at("run", kExpected));
  if (!json.is_object()) {
    throw Error(ErrorKind::kCorruptFile, "{}: metadata \"run\" is no JSON object", file.path().string());
  }
  read_fields(json, file.path().string(), run);
  return run;
}

}  // namespace

std::vector<std::filesystem::path> find_checkpoints(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint_folder(folder), failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) found.push_back(entry.path());
  }
  // The step is zero-padded, so names sort by it.
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::filesystem::path save_checkpoint(const std::filesystem::path& folder, Trainer& trainer, const RunState& run,
                                      int keep) {
  make_folder(checkpoint_folder(folder));
  const auto path = checkpoint_folder(folder) / fmt::format("step-{:09}.safetensors", trainer.steps_done());
  std::vector<TensorView> tensors = parameter_views(trainer.layout(), trainer.parameters().data());
  const TrainingMemory memory = trainer.memory();
  tensors.push_back(vector_view(kFirstMoment, memory.first_moment));
  tensors.push_back(vector_view(kSecondMoment, memory.second_moment));
  if (!trainer.average().span().empty()) tensors.push_back(vector_view(kAverage, trainer.average().span()));
  for (std::size_t i = 0; i < memory.carried.size(); ++i) {
    tensors.push_back(vector_view(state_name(i), memory.carried[i]));
  }
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"step", std::to_string(trainer.steps_done())},
                                                 {"run", fields_to_json(run).dump()},
                                                 {"config", config_to_json(trainer.model())}};
  metadata[kChecksum] = checksum_of(metadata, tensors);
  write_safetensors(path, metadata, tensors);
  const auto all = find_checkpoints(folder);
  for (auto i = static_cast<std::size_t>(keep); i < all.size(); ++i) {
    std::error_code ignored;
    std::filesystem::remove(all[i], ignored);
  }
  return path;
}

WeightFile open_checkpoint(const std::filesystem::path& path) {
  WeightFile file = read_safetensors(path);
  if (!is_first_format(file)) verify_checksum(file);
  return file;
}

RunState load_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  return load_checkpoint(open_checkpoint(path), trainer);
}

RunState load_checkpoint(const WeightFile& file, Trainer& trainer) {
  read_parameters(file, trainer.layout(), trainer.parameters().data(), {.ignored_prefix = kTraining});
  const TrainingMemory memory = trainer.memory_to_fill();
  read_vector(file, kFirstMoment, memory.first_moment);
  read_vector(file, kSecondMoment, memory.second_moment);
  // Averaging that begins now begins with the weights of now.
  if (const auto average = trainer.average().span(); !average.empty()) {
    if (file.find(kAverage) != nullptr) {
      read_vector(file, kAverage, average);
    } else {
      std::copy(trainer.parameters().span().begin(), trainer.parameters().span().end(), average.begin());
    }
  }
  for (std::size_t i = 0; i < memory.carried.size(); ++i) read_vector(file, state_name(i), memory.carried[i]);
  trainer.optimizer().set_step(read_number<std::int64_t>(file, "step"));
  const RunState run = read_run(file);
  trainer.set_skipped_steps(run.skipped_steps);
  trainer.set_found_weight(run.found_weight);
  trainer.adopt();
  return run;
}

}  // namespace spikegpt
