// Any bytes as the checkpoint of a training run: an Error, or a run that goes on.
#include <cstddef>
#include <cstdint>

#include "spikegpt/train/checkpoint.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_training.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  static test::FuzzTraining training;
  const auto path = test::scratch_file("step-000000001.safetensors", test::text_of(data, size));
  return test::try_input([&] {
    load_checkpoint(path, training.trainer);
    training.trainer.step(1e-3);
  });
}
