// Any bytes as the data.pkl of a checkpoint: an Error or values that hang together.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "spikegpt/core/error.h"
#include "spikegpt/model/pickle_reader.h"

namespace {

using spikegpt::ensure;
using Kind = spikegpt::PickleValue::Kind;

void check_tensor(const spikegpt::PickleValue& tensor) {
  ensure(tensor.items.size() == 3, "a tensor of other parts");
  ensure(tensor.items[0]->kind == Kind::kStorage, "a tensor without a storage");
  ensure(spikegpt::integers_of(*tensor.items[1]).size() == spikegpt::integers_of(*tensor.items[2]).size(),
         "extents and strides differ in number");
}

void check_entries(const spikegpt::PickleValue& value) {
  if (value.kind == Kind::kDict) ensure(value.items.size() % 2 == 0, "a key without a value");
  for (const spikegpt::PickleRef item : value.items) {
    ensure(item != nullptr, "nothing where a value belongs");
    if (item->kind == Kind::kTensor) check_tensor(*item);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const spikegpt::Pickle pickle(std::as_bytes(std::span(data, size)), "fuzz.pkl");
    check_entries(pickle.root());
  } catch (const spikegpt::Error&) {
  }
  return 0;
}
