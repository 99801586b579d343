#include "spikegpt/cli/bench_prefill.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/kernels/gemm.h"
#include "spikegpt/kernels/gemm_int8.h"

namespace spikegpt::cli {
namespace {

constexpr double kSecondsPerRow = 3.0;
constexpr std::int64_t kChunk = 256;

// How many products of each [out, in] the blocks have.
std::map<std::pair<std::int64_t, std::int64_t>, int> block_products(const PackedModel& packed) {
  std::map<std::pair<std::int64_t, std::int64_t>, int> shapes;
  const std::span<const PackedMatrix> all = packed.matrices();
  for (const PackedMatrix& matrix : all.first(all.size() - 1)) ++shapes[{matrix.outputs(), matrix.inputs()}];
  return shapes;
}

template <class A>
std::function<void()> bare_float_product(const LinearShape& shape, GemmPrecision precision) {
  const auto weight = std::make_shared<PackedWeight>(shape.out, shape.in, WeightUse::kForward, precision);
  const auto x = std::make_shared<AlignedBuffer<A>>(static_cast<std::size_t>(shape.rows * shape.in));
  const auto y = std::make_shared<AlignedBuffer<float>>(static_cast<std::size_t>(shape.rows * shape.out));
  return [=] { weight->multiply(shape.rows, x->data(), y->data()); };
}

std::function<void()> bare_product(const LinearShape& shape, WeightType type) {
  if (type == WeightType::kF32 || (type == WeightType::kBf16 && !cpu_multiplies_bf16())) {
    return bare_float_product<float>(shape, GemmPrecision::kF32);
  }
  if (type == WeightType::kBf16) return bare_float_product<Bf16>(shape, GemmPrecision::kBf16);
  const auto product = std::make_shared<BareInt8Product>(shape);
  return [=] { product->run(); };
}

// The bare products of a chunk; seconds() is the time of the best call of each.
class BareProducts {
 public:
  BareProducts(const PackedModel& packed, std::int64_t rows) {
    for (const auto& [shape, count] : block_products(packed)) {
      products_.push_back({bare_product({.rows = rows, .out = shape.first, .in = shape.second}, packed.type()), count});
      products_.back().run();  // oneDNN compiles at first use
    }
  }
  void measure() {
    for (Product& product : products_) {
      const WorkTimer timer;
      product.run();
      product.seconds = std::min(product.seconds, timer.seconds());
    }
  }
  double seconds() const {
    double sum = 0.0;
    for (const Product& product : products_) sum += product.count * product.seconds;
    return sum;
  }

 private:
  struct Product {
    std::function<void()> run;
    int count = 0;
    double seconds = 1e9;
  };
  std::vector<Product> products_;
};

Json row_of(const DecodeModel& model, WeightType type) {
  const std::int64_t chunk = std::min(kChunk, static_cast<std::int64_t>(model.text.size()));
  const PackedModel packed(model.config, model.parameters.data(), default_pack_options(model.config, type));
  Session session(packed, chunk);
  const auto prompt = std::span(model.text).first(static_cast<std::size_t>(chunk));
  session.feed(prompt);
  session.runner().work = {};
  BareProducts bare(packed, chunk);
  double best = 1e9;
  double share_in_products = 0.0;  // of the best read
  int reads = 0;
  const Timer all;
  for (; reads < 6 || all.seconds() < kSecondsPerRow; ++reads) {
    session.runner().seconds = 0.0;
    const Timer wall;
    const WorkTimer timer;
    session.feed(prompt);
    if (const double seconds = timer.seconds(); seconds < best) {
      best = seconds;
      share_in_products = session.runner().seconds / wall.seconds();
    }
    bare.measure();
  }
  const ProductWork& work = session.runner().work;
  const auto operations = static_cast<double>(2 * work.multiply_accumulates + work.accumulates) / reads;
  return {{"type", name_of(type)},
          {"chunk", chunk},
          {"tokens_per_second", static_cast<double>(chunk) / best},
          {"share_in_products", share_in_products},
          {"product_gflops", 1e-9 * operations / (share_in_products * best)},
          {"gemm_limit_tokens_per_second", static_cast<double>(chunk) / bare.seconds()},
          {"share_of_gemm_limit", bare.seconds() / best}};
}

}  // namespace

Json bench_prefill(const DecodeModel& model, const std::vector<WeightType>& types) {
  Json rows = Json::array();
  for (const WeightType type : types) rows.push_back(row_of(model, type));
  return rows;
}

void print_prefill(const Json& rows) {
  fmt::print("{:<6} {:>8} {:>10} {:>14} {:>12} {:>16} {:>12}\n", "type", "chunk", "tokens/s", "in products", "GFLOP/s",
             "limit, tokens/s", "of limit");
  for (const Json& row : rows) {
    fmt::print("{:<6} {:>8} {:>10.0f} {:>12.0f} % {:>12.1f} {:>16.0f} {:>10.0f} %\n", row["type"].get<std::string>(),
               row["chunk"].get<int>(), row["tokens_per_second"].get<double>(),
               100.0 * row["share_in_products"].get<double>(), row["product_gflops"].get<double>(),
               row["gemm_limit_tokens_per_second"].get<double>(), 100.0 * row["share_of_gemm_limit"].get<double>());
  }
  fmt::print("\n");
}

}  // namespace spikegpt::cli
