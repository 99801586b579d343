// Speed of the scan of every kind of neuron.
#pragma once

#include <filesystem>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/kernels/shape.h"

namespace spikegpt::cli {

// {copy_gbytes, kinds: [{name, states, forward_ms, forward_gbytes, backward_ms, backward_gbytes}]}: the quickest of
// several passes, kinds in turn. With `script` (tools/reference/bench_neurons_pytorch.py) also torch and each kind's
// torch_forward_ms and torch_backward_ms. Throws as PytorchBaseline.
Json bench_neurons(const SequenceShape& shape, GemmPrecision precision, const std::filesystem::path& script);
void print_neurons(const Json& results);

}  // namespace spikegpt::cli
