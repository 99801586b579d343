#include "spikegpt/kernels/gemm.h"

#include <dnnl.hpp>

#include <array>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/signals.h"
#include "spikegpt/kernels/float_product.h"

namespace spikegpt {
namespace {

using dnnl::matmul;
using dnnl::memory;
using Tag = memory::format_tag;

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

memory::data_type data_type(DType dtype) {
  return dtype == DType::kBf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// c [m, n] = a [m, k] b [k, n], a and b in bf16
struct ProductKey {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  DType result = DType::kF32;
  Epilogue epilogue = Epilogue::kNone;
  bool packed = true;  // b in the layout of packed_layout; else a is stored [k, m] and b [k, n]
  bool accumulate = false;
  auto tie() const { return std::tie(m, k, n, result, epilogue, packed, accumulate); }
  bool operator<(const ProductKey& other) const { return tie() < other.tie(); }
};

matmul::primitive_desc describe(const ProductKey& key, const memory::desc& b) {
  const memory::desc a({key.m, key.k}, memory::data_type::bf16, key.packed ? Tag::ab : Tag::ba);
  const memory::desc c({key.m, key.n}, data_type(key.result), Tag::ab);
  dnnl::post_ops post_ops;
  if (key.accumulate) post_ops.append_sum(1.0f);
  if (key.epilogue == Epilogue::kSquaredRelu) {
    post_ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    post_ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_square, 0.0f, 0.0f);
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(post_ops);
  return matmul::primitive_desc(matmul::desc(a, b, c), attributes, engine());
}

// The layout that the library wants a [k, n] operand in, the same for every number of rows.
memory::desc packed_layout(std::int64_t k, std::int64_t n) {
  constexpr std::int64_t kTypicalRows = 1024;
  const memory::desc any({k, n}, memory::data_type::bf16, Tag::any);
  return describe({.m = kTypicalRows, .k = k, .n = n, .result = DType::kBf16}, any).weights_desc();
}

// Through the C interface: the C++ one builds a map for every call.
void execute(const dnnl::primitive& primitive, std::span<const dnnl_exec_arg_t> arguments) {
  const BlockedSignals blocked;  // its compiled code was seen to lose data to a handler's frame
  block_signals_in_openmp_threads();
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive.get(), stream().get(), static_cast<int>(arguments.size()), arguments.data());
  ensure(status == dnnl_success, "oneDNN failed to run a primitive");
  stream().wait();
}

// A primitive with its three memory handles; belongs to one thread.
struct Product {
  matmul primitive;
  memory a;
  memory b;
  memory c;

  void run(const void* a_data, const void* b_data, void* c_data) {
    a.set_data_handle(const_cast<void*>(a_data));
    b.set_data_handle(const_cast<void*>(b_data));
    c.set_data_handle(c_data);
    const std::array<dnnl_exec_arg_t, 3> arguments = {
        {{DNNL_ARG_SRC, a.get()}, {DNNL_ARG_WEIGHTS, b.get()}, {DNNL_ARG_DST, c.get()}}};
    execute(primitive, arguments);
  }
};

Product& product(const ProductKey& key) {
  thread_local std::map<ProductKey, Product> products;
  const auto found = products.find(key);
  if (found != products.end()) return found->second;
  const memory::desc b = key.packed ? packed_layout(key.k, key.n)
                                    : memory::desc({key.k, key.n}, memory::data_type::bf16, Tag::ab);
  const matmul::primitive_desc description = describe(key, b);
  Product made{matmul(description), memory(description.src_desc(), engine(), DNNL_MEMORY_NONE),
               memory(description.weights_desc(), engine(), DNNL_MEMORY_NONE),
               memory(description.dst_desc(), engine(), DNNL_MEMORY_NONE)};
  return products.emplace(key, std::move(made)).first->second;
}

KernelWork product_work(std::string_view name, const LinearShape& shape, double bytes) {
  const double operations =
      2.0 * static_cast<double>(shape.rows) * static_cast<double>(shape.out) * static_cast<double>(shape.in);
  return {name, shape.out, shape.in, operations, bytes};
}

}  // namespace

bool cpu_multiplies_bf16() {
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

bool can_multiply(GemmPrecision precision) {
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return precision == GemmPrecision::kF32 || (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

GemmPrecision gemm_precision(std::string_view word) {
  if (word == "f32") return GemmPrecision::kF32;
  if (word == "auto") return cpu_multiplies_bf16() ? GemmPrecision::kBf16 : GemmPrecision::kF32;
  if (word != "bf16") {
    throw Error(ErrorKind::kInvalidArgument, "precision \"{}\" is not known; expected auto, f32 or bf16", word);
  }
  if (!can_multiply(GemmPrecision::kBf16)) {
    throw Error(ErrorKind::kUnsupported,
                "precision bf16 needs a CPU with AVX-512, which this one lacks; use f32 or auto");
  }
  return GemmPrecision::kBf16;
}

std::string_view name_of(GemmPrecision precision) { return precision == GemmPrecision::kBf16 ? "bf16" : "f32"; }

// A bf16 weight in oneDNN's layout.
struct Bf16Weight {
  AlignedBytes bytes;
  memory from;  // the plain weight
  memory to;    // the same in the layout of the product
  dnnl::reorder reorder;

  // `plain` is how a [k, n] operand is stored.
  static Bf16Weight make(std::int64_t k, std::int64_t n, Tag plain) {
    const memory::desc layout = packed_layout(k, n);
    AlignedBytes bytes(layout.get_size());
    const memory from(memory::desc({k, n}, memory::data_type::f32, plain), engine(), DNNL_MEMORY_NONE);
    const memory to(layout, engine(), bytes.data());
    return {std::move(bytes), from, to, dnnl::reorder(from, to)};
  }
  void pack(const float* weight) {
    from.set_data_handle(const_cast<float*>(weight));
    const std::array<dnnl_exec_arg_t, 2> arguments = {{{DNNL_ARG_FROM, from.get()}, {DNNL_ARG_TO, to.get()}}};
    execute(reorder, arguments);
  }
};

struct PackedWeight::Implementation {
  WeightUse use;
  std::int64_t k;
  std::int64_t n;
  AlignedBuffer<float> panels = {};     // kF32
  std::optional<Bf16Weight> bf16 = {};  // kBf16

  // As a [k, n] operand the stored [out, in] is transposed for the forward use.
  bool transposed() const { return use == WeightUse::kForward; }
  DType operand() const { return bf16 ? DType::kBf16 : DType::kF32; }
  std::size_t size_in_bytes() const { return bf16 ? bf16->bytes.size() : panels.size() * sizeof(float); }
};

PackedWeight::PackedWeight(std::int64_t out, std::int64_t in, WeightUse use, GemmPrecision precision) {
  const bool forward = use == WeightUse::kForward;
  implementation_.reset(new Implementation{.use = use, .k = forward ? in : out, .n = forward ? out : in});
  Implementation& self = *implementation_;
  if (precision == GemmPrecision::kBf16) {
    self.bf16 = Bf16Weight::make(self.k, self.n, self.transposed() ? Tag::ba : Tag::ab);
  } else {
    self.panels = AlignedBuffer<float>(static_cast<std::size_t>(float_panels_size(self.k, self.n)));
  }
}

PackedWeight::~PackedWeight() = default;
PackedWeight::PackedWeight(PackedWeight&&) noexcept = default;
PackedWeight& PackedWeight::operator=(PackedWeight&&) noexcept = default;

void PackedWeight::pack(const float* weight) {
  Implementation& self = *implementation_;
  const KernelTimer timer(
      {.name = "packing of weights",
       .bytes = bytes_of<float>(self.k * self.n, 0, 1) + static_cast<double>(self.size_in_bytes())});
  if (self.bf16) return self.bf16->pack(weight);
  const OperandOrder order = self.transposed() ? OperandOrder::kTransposed : OperandOrder::kRows;
  pack_float_panels(self.k, self.n, order, weight, self.panels.data());
}

template <class A, class Y>
void PackedWeight::multiply(std::int64_t rows, const A* x, Y* y, Epilogue epilogue) const {
  const Implementation& self = *implementation_;
  ensure(self.operand() == kDTypeOf<A>, "activation type differs from the packed weight's");
  if (rows == 0) return;
  const bool forward = self.use == WeightUse::kForward;
  const KernelTimer timer(
      product_work(forward ? "product forward" : "product, input gradient",
                   {rows, forward ? self.n : self.k, forward ? self.k : self.n},
                   bytes_of<A>(rows * self.k + self.k * self.n, 1, 0) + bytes_of<Y>(rows * self.n, 1, 0)));
  if constexpr (std::is_same_v<A, float>) {
    multiply_floats({rows, self.k, self.n, x, self.panels.data(), y, epilogue});
  } else {
    product({.m = rows, .k = self.k, .n = self.n, .result = kDTypeOf<Y>, .epilogue = epilogue})
        .run(x, self.bf16->bytes.data(), y);
  }
}

template <class A>
void weight_gradient(const LinearShape& shape, const A* d_y, const A* x, float* d_weight, bool accumulate) {
  ensure(shape.rows > 0, "a weight gradient needs rows");
  const KernelTimer timer(product_work("product, weight gradient", shape,
                                       bytes_of<A>(shape.rows * (shape.out + shape.in), 1, 0) +
                                           bytes_of<float>(shape.out * shape.in, 0, accumulate ? 2 : 1)));
  if constexpr (std::is_same_v<A, float>) {
    multiply_transposed_floats({shape.out, shape.rows, shape.in, d_y, x, d_weight, accumulate});
  } else {
    product({.m = shape.out, .k = shape.rows, .n = shape.in, .packed = false, .accumulate = accumulate})
        .run(d_y, x, d_weight);
  }
}

template void PackedWeight::multiply(std::int64_t, const float*, float*, Epilogue) const;
template void PackedWeight::multiply(std::int64_t, const Bf16*, Bf16*, Epilogue) const;
template void PackedWeight::multiply(std::int64_t, const Bf16*, float*, Epilogue) const;
template void weight_gradient(const LinearShape&, const float*, const float*, float*, bool);
template void weight_gradient(const LinearShape&, const Bf16*, const Bf16*, float*, bool);

}  // namespace spikegpt
