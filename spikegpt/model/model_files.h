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

// Copies the tensors of `file` into the flat vector, by name. Throws as load_model. Tensors whose names begin with
// `ignored_prefix` are left alone, if it is not empty.
void read_parameters(const WeightFile& file, const ParameterLayout& layout, float* parameters,
                     std::string_view ignored_prefix = {});

// The parameters as tensors of a file.
std::vector<TensorView> parameter_views(const ParameterLayout& layout, const float* parameters);

}  // namespace spikegpt
