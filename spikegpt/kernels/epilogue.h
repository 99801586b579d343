#pragma once

#include <cstdint>

namespace spikegpt {

// What is done to each element of a product before it is stored.
enum class Epilogue : std::uint8_t {
  kNone,
  kSquaredRelu,  // max(y, 0)^2, SPEC.md 5
};

}  // namespace spikegpt
