// Speed of single kernels at the shapes of a model.
#pragma once

#include "spikegpt/core/json_fields.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/model/config.h"

namespace spikegpt::cli {

// An array of {name, seconds, gflops or gbytes}.
Json bench_kernels(const ModelConfig& config, int batch, GemmPrecision precision);

// Operations per second of the model's fastest matrix product when nothing else runs.
double best_product_rate(const ModelConfig& config, int batch, GemmPrecision precision);

}  // namespace spikegpt::cli
