// Any bytes as what a training run left: a line by line account with its faults named.
#include <cstddef>
#include <cstdint>

#include "spikegpt/report/run_log.h"
#include "tests/fuzz/fuzz_input.h"

// A zero byte separates metrics.jsonl from train.json.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  const std::string_view input = test::text_of(data, size);
  const std::size_t end = std::min(input.find('\0'), input.size());
  const auto folder = test::scratch_file("metrics.jsonl", input.substr(0, end)).parent_path();
  test::scratch_file("train.json", input.substr(std::min(end + 1, input.size())));
  return test::try_input([&] {
    const RunLog log = read_run(folder);
    log.last_step();
    log.seconds();
    log.best();
    log.setting("model", "arch");
  });
}
