// Any bytes as config.json, and as one in front of weights: an Error, or a configuration that is read as it
// is written.
#include <cstddef>
#include <cstdint>

#include "spikegpt/model/model_files.h"
#include "spikegpt/model/packed_model.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  return test::try_input([&] {
    const ModelConfig config = config_from_json(test::text_of(data, size), "fuzz.json");
    ensure(config_from_json(config_to_json(config), "again") == config,
           "another configuration when read again");
    const auto folder = test::scratch_file("config.json", test::text_of(data, size)).parent_path();
    for (const char* name : {"model.safetensors", "packed.safetensors"}) {
      test::scratch_file(name, {"\2\0\0\0\0\0\0\0{}", 10});
    }
    test::try_input([&] { load_model(folder); });
    PackedModel::load(folder);
  });
}
