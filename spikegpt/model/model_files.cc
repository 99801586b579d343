#include "spikegpt/model/model_files.h"

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/safetensors.h"

namespace spikegpt {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void check_shape(const WeightFile& file, const TensorView& tensor, const ParameterInfo& info) {
  if (tensor.shape == info.shape) return;
  throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" has the shape {}; config.json asks for {}",
              file.path().string(), info.name, shape_text(tensor.shape), shape_text(info.shape));
}

void check_surplus(const WeightFile& file, const ParameterLayout& layout, std::string_view ignored_prefix) {
  for (const TensorView& tensor : file.tensors()) {
    if (!ignored_prefix.empty() && tensor.name.starts_with(ignored_prefix)) continue;
    if (layout.find(tensor.name) != nullptr) continue;
    throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" is not a parameter of the model that config.json describes",
                file.path().string(), tensor.name);
  }
}

}  // namespace

void read_parameters(const WeightFile& file, const ParameterLayout& layout, float* parameters,
                     std::string_view ignored_prefix) {
  check_surplus(file, layout, ignored_prefix);
  for (const ParameterInfo& info : layout.infos()) {
    const TensorView* tensor = file.find(info.name);
    if (tensor == nullptr) {
      throw Error(ErrorKind::kCorruptFile, "{}: tensor \"{}\" with the shape {} is missing", file.path().string(),
                  info.name, shape_text(info.shape));
    }
    check_shape(file, *tensor, info);
    const std::span<float> values(parameters + info.offset, static_cast<std::size_t>(info.size));
    try {
      copy_as_float(*tensor, values);
    } catch (const Error& error) {
      throw Error(error.kind(), "{}: {}", file.path().string(), error.what());
    }
    require_finite(file, info.name, values);
  }
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
  model.parameters = AlignedBuffer<float>(static_cast<std::size_t>(layout.flat_size()));
  read_parameters(file, layout, model.parameters.data());
  return model;
}

void save_model(const std::filesystem::path& folder, const ModelConfig& config, const float* parameters) {
  make_folder(folder);
  save_config(config, folder / "config.json");
  write_safetensors(folder / "model.safetensors", {{"format", "pt"}},
                    parameter_views(ParameterLayout(config), parameters));
}

}  // namespace spikegpt
