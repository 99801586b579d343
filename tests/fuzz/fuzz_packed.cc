// Any bytes as the weights of a packed model: an Error or a model.
#include <cstddef>
#include <cstdint>

#include "spikegpt/model/packed_model.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/small_models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  std::string_view input = test::text_of(data, size);
  const ModelConfig config = test::fuzz_config(test::take_choice(input, test::kFuzzModels.size()));
  test::scratch_file("config.json", config_to_json(config));
  const auto folder = test::scratch_file("packed.safetensors", input).parent_path();
  return test::try_input(
      [&] { ensure(PackedModel::load(folder).config() == config, "another configuration"); });
}
