// Bare matrix products of bytes through oneDNN: a yardstick for benchmarks, which nothing computes with.
#pragma once

#include <cstdint>
#include <memory>

#include "spikegpt/kernels/gemm.h"

namespace spikegpt {

// y [rows, out] = x [rows, in] W^T with x of unsigned and W of signed bytes, y of 32-bit integers; its operands are its
// own, all zero.
class BareInt8Product {
 public:
  explicit BareInt8Product(const LinearShape& shape);
  ~BareInt8Product();
  BareInt8Product(BareInt8Product&&) noexcept;
  BareInt8Product& operator=(BareInt8Product&&) noexcept;

  void run();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace spikegpt
