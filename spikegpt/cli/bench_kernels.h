// Speed of single kernels at the shapes of a model.
#pragma once

#include "spikegpt/core/json_fields.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/model/config.h"

namespace spikegpt::cli {

// An array of {name, seconds, gflops or gbytes}.
Json bench_kernels(const ModelConfig& config, int batch, GemmPrecision precision);

// Seconds that the matrix products of one training step take when nothing else runs: what a step cannot beat.
double product_seconds(const ModelConfig& config, int batch, GemmPrecision precision);

}  // namespace spikegpt::cli
