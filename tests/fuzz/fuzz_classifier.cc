// Any bytes as the head of a classifier: an Error or a classifier.
#include <cstddef>
#include <cstdint>

#include "spikegpt/model/model_files.h"
#include "spikegpt/train/classifier.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/small_models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const auto folder = test::scratch_file("classifier.safetensors", test::text_of(data, size)).parent_path();
  static const bool saved = [&] {
    const ModelConfig config = test::fuzz_config(0);
    save_model(folder, config, test::fuzz_parameters(config).data());
    return true;
  }();
  ensure(saved, "a model in front of the head");
  return test::try_input([&] { Classifier::load(folder, {.batch = 1, .tokens = 8}); });
}
