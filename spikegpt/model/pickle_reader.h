// The part of Python's pickle format that a PyTorch state_dict needs, and nothing else. Nothing is ever executed:
// a pickle that asks for any other function or class is refused by its name.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

struct PickleValue;
using PickleRef = const PickleValue*;

// What a pickle describes. Values refer to each other by pointer and live in the Pickle that read them.
struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone, kBool, kInt, kFloat, kString, kTuple, kList, kDict, kGlobal, kStorage, kTensor
  };
  Kind kind = Kind::kNone;
  std::int64_t number = 0;                              // kBool, kInt; kStorage: elements; kTensor: offset
  std::string text;                                     // kString; kGlobal: its name; kStorage: its key
  DType dtype = DType::kF32;                            // kStorage
  std::vector<PickleRef> items;                         // kTuple, kList
  std::vector<std::pair<PickleRef, PickleRef>> entries; // kDict
  PickleRef storage = nullptr;                          // kTensor
  std::vector<std::int64_t> shape;                      // kTensor
  std::vector<std::int64_t> stride;                     // kTensor, in elements
};

class Pickle {
 public:
  // Throws Error: kCorruptFile, or kUnsupported for an opcode or a global that no state_dict needs; the message
  // names `where` and the byte. Time and memory are linear in the size of the input.
  Pickle(std::span<const std::byte> bytes, std::string where);

  const PickleValue& root() const { return *root_; }

 private:
  std::deque<PickleValue> values_;
  PickleRef root_ = nullptr;
};

}  // namespace spikegpt
