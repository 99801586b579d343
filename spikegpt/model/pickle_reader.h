// The part of Python's pickle format that a PyTorch state_dict needs, and nothing else. Nothing is
// ever executed: a pickle that asks for any other function or class is refused by its name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// What bounds the memory of a pickle: a state_dict of 1000 tensors takes about 200 kB and 15,000
// values.
inline constexpr std::size_t kMaxPickleBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxPickleValues = 250'000;  // and depth of the stack, and memos

struct PickleValue;
using PickleRef = const PickleValue*;

// What a pickle describes. Values refer to each other, in circles if the pickle says so, and live
// in the Pickle that read them; texts lie in its input.
struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,     // number
    kInt,      // number
    kFloat,    // its value is not kept: no tensor depends on one
    kString,   // text
    kTuple,    // items
    kList,     // items
    kDict,     // items: key, value, key, value, ... as they were set
    kGlobal,   // text: the module, a newline, the name; one of the allowed
    kStorage,  // text: its key in the archive; dtype; number: elements
    kTensor    // items: the storage, a tuple of extents, one of as many strides; number: the offset
               // [elements]
  };
  Kind kind = Kind::kNone;
  DType dtype = DType::kF32;
  std::int64_t number = 0;
  std::string_view text;
  std::vector<PickleRef> items;
};

class Pickle {
 public:
  // `bytes` must outlive the Pickle. Throws Error: kCorruptFile, or kUnsupported for an opcode or a
  // global that no state_dict needs and for a pickle beyond the limits above; the message names
  // `where`, the byte and the opcode or global. Time and memory are linear in the size of the input
  // (but for the lookup of memos: n log n).
  Pickle(std::span<const std::byte> bytes, std::string_view where);

  const PickleValue& root() const { return *root_; }
  // Every value, in the order in which they were made.
  const std::deque<PickleValue>& values() const { return values_; }
  // The bytes it took, of which the last is the opcode STOP; others may follow.
  std::size_t size() const { return size_; }

 private:
  std::deque<PickleValue> values_;
  std::size_t size_ = 0;
  PickleRef root_ = nullptr;
};

// The whole numbers of a tuple: the extents or strides of a kTensor.
std::vector<std::int64_t> integers_of(const PickleValue& tuple);

}  // namespace spikegpt
