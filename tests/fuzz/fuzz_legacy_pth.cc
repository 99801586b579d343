// Any bytes behind the magic number of old files of torch.save, read as a conversion reads it: an Error or
// the weights of a model.
#include <cstddef>
#include <cstdint>

#include "spikegpt/model/import.h"
#include "spikegpt/model/model_files.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/well_formed.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  return test::try_input([&] {
    const WeightFile file = read_weights(test::scratch_file("fuzz.pth", test::text_of(data, size)));
    test::check_well_formed(file);
    ModelConfig config;
    infer_config(file, config);
    validate(config);
    const AlignedBuffer<float> parameters = read_parameters(file, ParameterLayout(config));
    ensure(parameters.size() <= 16 * size, "parameters that are not in the file");
  });
}
