#include "spikegpt/kernels/gemm_int8.h"

#include <dnnl.hpp>

#include <algorithm>
#include <cstddef>

#include "spikegpt/core/parallel.h"
#include "spikegpt/core/signals.h"

namespace spikegpt {

using dnnl::memory;

struct BareInt8Product::Implementation {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul::primitive_desc description;
  dnnl::matmul product;
  memory x;
  memory weight;
  memory y;

  explicit Implementation(const LinearShape& shape)
      : description(
            dnnl::matmul::desc(memory::desc({shape.rows, shape.in}, memory::data_type::u8, memory::format_tag::ab),
                               memory::desc({shape.in, shape.out}, memory::data_type::s8, memory::format_tag::any),
                               memory::desc({shape.rows, shape.out}, memory::data_type::s32, memory::format_tag::ab)),
            engine),
        product(description),
        x(description.src_desc(), engine),
        weight(description.weights_desc(), engine),
        y(description.dst_desc(), engine) {
    for (memory* operand : {&x, &weight, &y}) {
      auto* const bytes = static_cast<std::byte*>(operand->get_data_handle());
      std::fill_n(bytes, operand->get_desc().get_size(), std::byte{0});
    }
  }
};

BareInt8Product::BareInt8Product(const LinearShape& shape) : implementation_(new Implementation(shape)) {}
BareInt8Product::~BareInt8Product() = default;
BareInt8Product::BareInt8Product(BareInt8Product&&) noexcept = default;
BareInt8Product& BareInt8Product::operator=(BareInt8Product&&) noexcept = default;

void BareInt8Product::run() {
  Implementation& self = *implementation_;
  const BlockedSignals blocked;  // as in gemm.cc
  block_signals_in_openmp_threads();
  self.product.execute(self.stream, {{DNNL_ARG_SRC, self.x}, {DNNL_ARG_WEIGHTS, self.weight}, {DNNL_ARG_DST, self.y}});
  self.stream.wait();
}

}  // namespace spikegpt
