// Any bytes as the state of a text: an Error, or a state from which the model writes on.
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "spikegpt/infer/state_file.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/small_models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spikegpt;
  static const PackedModel model = test::fuzz_packed_model(0);
  static const auto tokenizer = make_tokenizer("chars", "abcde");
  return test::try_input([&] {
    const SavedText saved = load_state(test::scratch_file("fuzz.state", test::text_of(data, size)), model);
    Session session(model);
    session.set_state(saved.session);
    TextWriter writer(session, *tokenizer,
                      {.sampler = saved.writing.sampler, .stop = saved.writing.stop, .on_token = {}}, saved.writing);
    const std::atomic<bool> never = false;
    writer.write(3, never, [](const std::string&) {});
  });
}
