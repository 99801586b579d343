#include "spikegpt/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

constexpr const char* kFormat = "spikegpt checkpoint 1";
constexpr std::string_view kTraining = "training.";  // in front of what is not a parameter

std::filesystem::path checkpoint_folder(const std::filesystem::path& folder) {
  return folder / "checkpoints";
}

// All checkpoints, oldest first: the step is zero-padded, so names sort by it.
std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint_folder(folder), failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

TensorView vector_view(std::string name, std::span<const float> values) {
  return {std::move(name), DType::kF32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(values)};
}

void read_vector(const WeightFile& file, const std::string& name, std::span<float> values) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr || tensor->shape != std::vector{static_cast<std::int64_t>(values.size())}) {
    throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" with the shape [{}] is missing",
                file.path().string(), name, values.size());
  }
  copy_as_float(*tensor, values);
}

// The memory that micro-batch i carries from step to step.
std::string state_name(std::size_t i) { return fmt::format("training.state.{}", i); }

template <class Number>
Number read_number(const WeightFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  Number value{};
  const std::string text = found == file.metadata().end() ? "" : found->second;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorKind::kCorruptFile, "{}: metadata \"{}\" = \"{}\": expected a number",
                file.path().string(), key, text);
  }
  return value;
}

}  // namespace

std::filesystem::path save_checkpoint(const std::filesystem::path& folder, Trainer& trainer,
                                      double seconds, int keep) {
  make_folder(checkpoint_folder(folder));
  const auto path =
      checkpoint_folder(folder) / fmt::format("step-{:09}.safetensors", trainer.steps_done());
  std::vector<TensorView> tensors = parameter_views(trainer.layout(), trainer.parameters().data());
  tensors.push_back(vector_view("training.first_moment", trainer.optimizer().first_moment().span()));
  tensors.push_back(vector_view("training.second_moment", trainer.optimizer().second_moment().span()));
  for (std::size_t i = 0; i < trainer.carried().size(); ++i) {
    tensors.push_back(vector_view(state_name(i), trainer.carried()[i].values()));
  }
  write_safetensors(path,
                    {{"format", kFormat},
                     {"step", std::to_string(trainer.steps_done())},
                     {"seconds", fmt::format("{}", seconds)},
                     {"config", config_to_json(trainer.model())}},
                    tensors);
  const auto all = checkpoints(folder);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    std::error_code ignored;
    std::filesystem::remove(all[i], ignored);
  }
  return path;
}

std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& folder) {
  const auto all = checkpoints(folder);
  if (all.empty()) return std::nullopt;
  return all.back();
}

CheckpointInfo load_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  const WeightFile file = read_safetensors(path);
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    throw Error(ErrorKind::kCorruptFile, "{} is not a checkpoint: expected format \"{}\"", path.string(),
                kFormat);
  }
  read_parameters(file, trainer.layout(), trainer.parameters().data(), kTraining);
  read_vector(file, "training.first_moment", trainer.optimizer().first_moment().span());
  read_vector(file, "training.second_moment", trainer.optimizer().second_moment().span());
  for (std::size_t i = 0; i < trainer.carried().size(); ++i) {
    read_vector(file, state_name(i), trainer.carried()[i].values());
  }
  trainer.optimizer().set_step(read_number<std::int64_t>(file, "step"));
  trainer.parameters_changed();
  return {trainer.steps_done(), read_number<double>(file, "seconds")};
}

}  // namespace spikegpt
