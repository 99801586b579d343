// Any bytes as a file of torch.save: begun with the zip archives of today.
#include "tests/fuzz/try_torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return spikegpt::test::try_torch_file(data, size);
}
