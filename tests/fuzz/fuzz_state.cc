// Any bytes as the state of a session: an Error, or a state from which the model goes on.
#include <cstddef>
#include <cstdint>

#include "spikegpt/infer/session.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/small_models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  static const PackedModel model = test::fuzz_packed_model(0);
  return test::try_input([&] {
    const SessionState state = load_state(test::scratch_file("fuzz.state", test::text_of(data, size)), model);
    Session session(model);
    session.set_state(state);
    const std::int32_t token = 1;
    session.feed({&token, 1});
  });
}
