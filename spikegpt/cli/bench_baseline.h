// PyTorch's speed at training the same model, for comparison in one sitting.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/kernels/gemm.h"
#include "spikegpt/model/config.h"

namespace spikegpt::cli {

class PytorchBaseline {
 public:
  struct Result {
    std::vector<double> step_seconds;
    double peak_memory_mb = 0.0;
    std::string torch;  // version
  };

  // `script` is tools/reference/bench_pytorch.py, run by the system's python3 or the one that the environment variable
  // PYTHON names. Throws Error: kNotFound without the script or without PyTorch, kUnsupported for an architecture
  // that the script does not train.
  PytorchBaseline(const std::filesystem::path& script, const ModelConfig& model, int batch, GemmPrecision precision);

  // One process that times `steps` steps. Throws Error (kIo) when it fails.
  Result run(int steps) const;

 private:
  std::string command_;
};

}  // namespace spikegpt::cli
