// PyTorch's speed at training the same model, for comparison in one sitting.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/model/config.h"

namespace spikegpt::cli {

// The JSON object that a script of tools/reference prints, run by the system's python3 or the one that the environment
// variable PYTHON names. Throws Error: kNotFound without the script or without PyTorch, kIo when it fails.
Json run_pytorch(const std::filesystem::path& script, const std::string& arguments);

class PytorchBaseline {
 public:
  struct Result {
    std::vector<double> step_seconds;
    double peak_memory_mb = 0.0;
    std::string torch;  // version
  };

  // `script` is tools/reference/bench_pytorch.py. Throws Error as run_pytorch, and kUnsupported for an architecture
  // that the script does not train.
  PytorchBaseline(const std::filesystem::path& script, const ModelConfig& model, int batch, GemmPrecision precision);

  // One process that times `steps` steps. Throws Error (kIo) when it fails.
  Result run(int steps) const;

 private:
  std::string command_;
};

}  // namespace spikegpt::cli
