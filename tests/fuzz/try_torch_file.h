// What the fuzzers of files of torch.save do with one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spikegpt/model/import.h"
#include "spikegpt/model/model_files.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/well_formed.h"

namespace spikegpt::test {

// Reads the input as a conversion does: an Error, or the weights of a model.
inline int try_torch_file(const std::uint8_t* data, std::size_t size) {
  return try_input([&] {
    const WeightFile file = read_weights(scratch_file("fuzz.pth", text_of(data, size)));
    check_well_formed(file);
    ModelConfig config;
    infer_config(file, config);
    validate(config);
    const AlignedBuffer<float> parameters = read_parameters(file, ParameterLayout(config));
    ensure(parameters.size() <= 16 * size, "parameters that are not in the file");
  });
}

}  // namespace spikegpt::test
