// A model as a folder: config.json and model.safetensors.
#pragma once

#include <filesystem>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/model/config.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {

struct StoredModel {
  ModelConfig config;
  AlignedBuffer<float> parameters;  // laid out by ParameterLayout(config)
};

// Throws Error: kNotFound, kIo, kCorruptFile for a file cut short, a tensor that is missing, surplus, of another
// shape, or not finite; every message names file and tensor.
StoredModel load_model(const std::filesystem::path& folder);

// Atomic file by file. Throws Error (kIo).
void save_model(const std::filesystem::path& folder, const ModelConfig& config, const float* parameters);

// Whose parameters are looked for.
struct WantedParameters {
  std::string_view asked_by = "config.json";  // for messages: what fixed the shapes; may be empty
  std::string_view ignored_prefix = {};       // tensors that begin so are left alone, if it is not empty
};

// Throws as load_model unless the file holds the parameters of the layout and no others. A vector may have
// extents of 1 in front ([C], [1, C], [1, 1, C]).
void check_parameters(const WeightFile& file, const ParameterLayout& layout,
                      const WantedParameters& wanted = {});

// Checks, then copies the tensors into the flat vector, by name.
void read_parameters(const WeightFile& file, const ParameterLayout& layout, float* parameters,
                     const WantedParameters& wanted = {});
// The same into memory that is taken once all tensors are known to be there.
AlignedBuffer<float> read_parameters(const WeightFile& file, const ParameterLayout& layout,
                                     const WantedParameters& wanted = {});

// The parameters as tensors of a file.
std::vector<TensorView> parameter_views(const ParameterLayout& layout, const float* parameters);

}  // namespace spikegpt
