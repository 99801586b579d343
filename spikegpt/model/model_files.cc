#include "spikegpt/model/model_files.h"

#include <algorithm>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// The shape without extents of 1 in front of the last.
std::span<const std::int64_t> without_leading_ones(std::span<const std::int64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape = shape.subspan(1);
  return shape;
}

bool fits(const TensorView& tensor, const ParameterInfo& info) {
  if (tensor.shape == info.shape) return true;
  const auto wanted = without_leading_ones(info.shape);
  return wanted.size() == 1 && std::ranges::equal(without_leading_ones(tensor.shape), wanted);
}

std::string asked_for(const ParameterInfo& info, const WantedParameters& wanted) {
  if (wanted.asked_by.empty()) return fmt::format("expected {}", shape_text(info.shape));
  return fmt::format("{} asks for {}", wanted.asked_by, shape_text(info.shape));
}

void check_surplus(const WeightFile& file, const ParameterLayout& layout, const WantedParameters& wanted) {
  for (const TensorView& tensor : file.tensors()) {
    if (!wanted.ignored_prefix.empty() && tensor.name.starts_with(wanted.ignored_prefix)) continue;
    if (layout.find(tensor.name) != nullptr) continue;
    const std::string described =
        wanted.asked_by.empty() ? "" : fmt::format(" that {} describes", wanted.asked_by);
    throw Error(ErrorKind::kCorruptFile,
                "{}: tensor \"{}\" is not a parameter of the model{}; the file has {}", file.path().string(),
                printable(tensor.name), described, listed_names(file));
  }
}

void copy_parameter(const WeightFile& file, const ParameterInfo& info, std::span<float> values) {
  try {
    copy_as_float(*file.find(info.name), values);
  } catch (const Error& error) {
    throw Error(error.kind(), "{}: {}", file.path().string(), error.what());
  }
  require_finite(file, info.name, values);
}

}  // namespace

void check_parameters(const WeightFile& file, const ParameterLayout& layout, const WantedParameters& wanted) {
  check_surplus(file, layout, wanted);
  for (const ParameterInfo& info : layout.infos()) {
    const TensorView* tensor = file.find(info.name);
    if (tensor == nullptr) {
      throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" with the shape {} is missing; the file has {}",
                  file.path().string(), info.name, shape_text(info.shape), listed_names(file));
    }
    if (fits(*tensor, info)) continue;
    const bool empty = element_count(*tensor) == 0;
    throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" has the shape {}; {}{}", file.path().string(),
                info.name, shape_text(tensor->shape), asked_for(info, wanted),
                empty ? " (of a run that kept its weights in parts, DeepSpeed ZeRO-3? Gather them: zero_to_fp32.py)"
                      : "");
  }
}

void read_parameters(const WeightFile& file, const ParameterLayout& layout, float* parameters,
                     const WantedParameters& wanted) {
  check_parameters(file, layout, wanted);
  for (const ParameterInfo& info : layout.infos()) {
    copy_parameter(file, info, {parameters + info.offset, static_cast<std::size_t>(info.size)});
  }
}

AlignedBuffer<float> read_parameters(const WeightFile& file, const ParameterLayout& layout,
                                     const WantedParameters& wanted) {
  check_parameters(file, layout, wanted);
  AlignedBuffer<float> parameters(static_cast<std::size_t>(layout.flat_size()));
  read_parameters(file, layout, parameters.data(), wanted);
  return parameters;
}

std::vector<TensorView> parameter_views(const ParameterLayout& layout, const float* parameters) {
  std::vector<TensorView> views;
  for (const ParameterInfo& info : layout.infos()) {
    const std::span<const float> values(parameters + info.offset, static_cast<std::size_t>(info.size));
    views.push_back({info.name, DType::kF32, info.shape, std::as_bytes(values)});
  }
  return views;
}

StoredModel load_model(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "config.json")) {
    throw Error(ErrorKind::kNotFound,
                "{} is not a model folder: it has no config.json (train one with spikegpt train --out {})",
                folder.string(), folder.string());
  }
  StoredModel model;
  model.config = load_config(folder / "config.json");
  const ParameterLayout layout(model.config);
  const WeightFile file = read_safetensors(folder / "model.safetensors");
  model.parameters = read_parameters(file, layout);
  return model;
}

void save_model(const std::filesystem::path& folder, const ModelConfig& config, const float* parameters) {
  make_folder(folder);
  save_config(config, folder / "config.json");
  write_safetensors(folder / "model.safetensors", {{"format", "pt"}},
                    parameter_views(ParameterLayout(config), parameters));
}

}  // namespace spikegpt
