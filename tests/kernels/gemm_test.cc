#include "spikegpt/kernels/gemm.h"

#include <gtest/gtest.h>
#include <sys/time.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "tests/kernels/kernel_case.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

// A is the type of the operands, Y that of the product.
template <class Types>
class Gemm : public testing::Test {};
template <class A, class Y>
struct TypePair {
  using Operand = A;
  using Result = Y;
};
using TypePairs = testing::Types<TypePair<float, float>, TypePair<Bf16, Bf16>, TypePair<Bf16, float>>;
TYPED_TEST_SUITE(Gemm, TypePairs);

template <class A>
constexpr GemmPrecision precision_of() {
  return std::is_same_v<A, Bf16> ? GemmPrecision::kBf16 : GemmPrecision::kF32;
}
#define SKIP_WITHOUT(A) \
  if (!can_multiply(precision_of<A>())) GTEST_SKIP() << "this CPU cannot multiply bf16"

// The weight as the product sees it: rounded to the operand type.
template <class A>
std::vector<double> as_operand(const Guarded<float>& weight) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < weight.size(); ++i) out.push_back(as_double(from_float<A>(weight[i])));
  return out;
}

double squared_relu(double y) { return y > 0.0 ? y * y : 0.0; }

// sum over k of a(i, k) b(k, j), with the sum of magnitudes, which bounds the rounding.
struct Product {
  double value = 0.0;
  double magnitude = 0.0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::abs(a * b);
  }
};

// Compares [rows, columns] element by element; float accumulation is good to 1e-6 of the sum of
// magnitudes.
template <class Y, class Expected>
void expect_product(const Guarded<Y>& y, Epilogue epilogue, const Expected& expected) {
  ASSERT_TRUE(y.intact()) << "written outside of its memory";
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const Product product = expected(i);
    const double size = 1e-6 * product.magnitude + 1e-30;
    const bool squared = epilogue == Epilogue::kSquaredRelu;
    const double value = squared ? squared_relu(product.value) : product.value;
    const double error = squared ? size * (2.0 * std::abs(product.value) + size) : size;
    const double rounding = std::is_same_v<Y, Bf16> ? 0x1p-8 * std::abs(value) : 1e-7 * std::abs(value);
    ASSERT_NEAR(as_double(y[i]), value, error + rounding) << i;
  }
}

struct Size {
  std::int64_t out;
  std::int64_t in;
};
constexpr Size kSizes[] = {{1, 1}, {3, 5}, {13, 63}, {64, 64}, {65, 130}, {130, 65}, {1, 257}, {257, 1}};

template <class A, class Y>
void expect_multiply(const Size& size, std::int64_t rows, WeightUse use, Epilogue epilogue) {
  SCOPED_TRACE(fmt::format("W [{}, {}], {} rows, {}, epilogue {}", size.out, size.in, rows,
                           use == WeightUse::kForward ? "forward" : "backward", static_cast<int>(epilogue)));
  const bool forward = use == WeightUse::kForward;
  const std::int64_t k = forward ? size.in : size.out;
  const std::int64_t n = forward ? size.out : size.in;
  RandomStream random = random_stream(static_cast<std::uint64_t>(1000 * rows + k));
  const Guarded<float> weight = normal_values<float>(random, size.out * size.in);
  const Guarded<A> x = normal_values<A>(random, rows * k);
  const Guarded<Y> y(rows * n);
  PackedWeight packed(size.out, size.in, use, precision_of<A>());
  packed.pack(weight.data());
  packed.multiply(rows, x.data(), y.data(), epilogue);
  const std::vector<double> w = as_operand<A>(weight);
  expect_product(y, epilogue, [&](std::int64_t i) {
    Product sum;
    for (std::int64_t j = 0; j < k; ++j) {
      const std::int64_t column = i % n;
      const std::int64_t where = forward ? column * size.in + j : j * size.in + column;
      sum.add(as_double(x[i / n * k + j]), w[static_cast<std::size_t>(where)]);
    }
    return sum;
  });
}

TYPED_TEST(Gemm, MultiplyIsTheProductOfRoundedOperands) {
  using A = typename TypeParam::Operand;
  using Y = typename TypeParam::Result;
  SKIP_WITHOUT(A);
  for (const Size& size : kSizes) {
    for (const std::int64_t rows : {1, 2, 17, 64}) {
      expect_multiply<A, Y>(size, rows, WeightUse::kForward, Epilogue::kNone);
      expect_multiply<A, Y>(size, rows, WeightUse::kForward, Epilogue::kSquaredRelu);
      expect_multiply<A, Y>(size, rows, WeightUse::kBackward, Epilogue::kNone);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TYPED_TEST(Gemm, EveryNumberOfRows) {
  using A = typename TypeParam::Operand;
  using Y = typename TypeParam::Result;
  SKIP_WITHOUT(A);
  for (std::int64_t rows = 1; rows <= 70; ++rows) {
    expect_multiply<A, Y>({65, 33}, rows, WeightUse::kForward, Epilogue::kNone);
    if (testing::Test::HasFailure()) return;
  }
}

template <class A>
void expect_weight_gradient(const LinearShape& shape, bool accumulate) {
  SCOPED_TRACE(fmt::format("W [{}, {}], {} rows, accumulate {}", shape.out, shape.in, shape.rows, accumulate));
  RandomStream random = random_stream(static_cast<std::uint64_t>(1000 * shape.rows + shape.in));
  const Guarded<A> d_y = normal_values<A>(random, shape.rows * shape.out);
  const Guarded<A> x = normal_values<A>(random, shape.rows * shape.in);
  const Guarded<float> before = normal_values<float>(random, shape.out * shape.in);
  const Guarded<float> d_weight(shape.out * shape.in);  // NaN: what does not accumulate must not read it
  if (accumulate) copy_values(before, d_weight);
  weight_gradient(shape, d_y.data(), x.data(), d_weight.data(), accumulate);
  expect_product(d_weight, Epilogue::kNone, [&](std::int64_t i) {
    Product sum;
    if (accumulate) sum.add(as_double(before[i]), 1.0);
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      sum.add(as_double(d_y[row * shape.out + i / shape.in]), as_double(x[row * shape.in + i % shape.in]));
    }
    return sum;
  });
}

TYPED_TEST(Gemm, WeightGradient) {
  using A = typename TypeParam::Operand;
  SKIP_WITHOUT(A);
  for (const Size& size : kSizes) {
    for (const std::int64_t rows : {1, 2, 17, 70}) {
      for (const bool accumulate : {false, true}) {
        expect_weight_gradient<A>({rows, size.out, size.in}, accumulate);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

TYPED_TEST(Gemm, ThreadsDoNotChangeTheBits) {
  using A = typename TypeParam::Operand;
  using Y = typename TypeParam::Result;
  SKIP_WITHOUT(A);
  RandomStream random = random_stream(95);
  // Few outputs and long sums: where a library would like to split the sums among threads.
  const LinearShape shape{2050, 33, 130};
  const Guarded<float> weight = normal_values<float>(random, shape.out * shape.in);
  const Guarded<A> x = normal_values<A>(random, shape.rows * shape.in);
  const Guarded<A> d_y = normal_values<A>(random, shape.rows * shape.out);
  PackedWeight forward(shape.out, shape.in, WeightUse::kForward, precision_of<A>());
  PackedWeight backward(shape.out, shape.in, WeightUse::kBackward, precision_of<A>());
  forward.pack(weight.data());
  backward.pack(weight.data());
  const auto run = [&] {
    const Guarded<Y> y(shape.rows * shape.out);
    const Guarded<Y> d_x(shape.rows * shape.in);
    const Guarded<float> d_weight(shape.out * shape.in);
    forward.multiply(shape.rows, x.data(), y.data());
    backward.multiply(shape.rows, d_y.data(), d_x.data());
    weight_gradient(shape, d_y.data(), x.data(), d_weight.data(), false);
    return Outputs{{"y", floats(y)}, {"d_x", floats(d_x)}, {"d_weight", floats(d_weight)}};
  };
  set_thread_count(1);
  const Outputs one = run();
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    expect_same_bits(one, run(), fmt::format("with {} threads", threads));
    // A new thread makes its own primitives, for that number of threads.
    std::thread([&] {
      set_thread_count(threads);
      expect_same_bits(one, run(), fmt::format("with primitives made for {} threads", threads));
    }).join();
  }
  set_thread_count(1);
}

volatile std::sig_atomic_t ticks = 0;
extern "C" void use_stack(int) {
  volatile char frame[4096];
  for (volatile char& byte : frame) byte = 1;
  ticks = ticks + 1;
}

// As in a program that has a profiler, or Python around it: the engine is a guest there.
TYPED_TEST(Gemm, SignalsDoNotChangeTheBits) {
  using A = typename TypeParam::Operand;
  using Y = typename TypeParam::Result;
  SKIP_WITHOUT(A);
  RandomStream random = random_stream(99);
  const LinearShape shape{256, 62, 64};
  const Guarded<float> weight = normal_values<float>(random, shape.out * shape.in);
  const Guarded<A> x = normal_values<A>(random, shape.rows * shape.in);
  const Guarded<A> d_y = normal_values<A>(random, shape.rows * shape.out);
  const auto run = [&] {
    PackedWeight packed(shape.out, shape.in, WeightUse::kForward, precision_of<A>());
    packed.pack(weight.data());
    const Guarded<Y> y(shape.rows * shape.out);
    const Guarded<float> d_weight(shape.out * shape.in);
    packed.multiply(shape.rows, x.data(), y.data());
    weight_gradient(shape, d_y.data(), x.data(), d_weight.data(), false);
    return Outputs{{"y", floats(y)}, {"d_weight", floats(d_weight)}};
  };
  const Outputs quiet = run();
  const auto before = std::signal(SIGALRM, use_stack);
  const itimerval often = {{0, 500}, {0, 500}};
  setitimer(ITIMER_REAL, &often, nullptr);
  ticks = 0;
  while (ticks < 40) {
    expect_same_bits(quiet, run(), "under signals");
    if (testing::Test::HasFailure()) break;
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  std::signal(SIGALRM, before);
}

TEST(Gemm, SeveralThreadsMayMultiplyAtOnce) {
  RandomStream random = random_stream(96);
  const Guarded<float> weight = normal_values<float>(random, 64 * 65);
  const Guarded<float> x = normal_values<float>(random, 17 * 65);
  PackedWeight packed(64, 65, WeightUse::kForward, GemmPrecision::kF32);
  packed.pack(weight.data());
  const Guarded<float> alone(17 * 64);
  packed.multiply(17, x.data(), alone.data());
  std::vector<Guarded<float>> results;
  for (int i = 0; i < 4; ++i) results.emplace_back(17 * 64);
  std::vector<std::thread> threads;
  for (const Guarded<float>& result : results) {
    threads.emplace_back([&] {
      set_thread_count(1);
      for (int i = 0; i < 20; ++i) packed.multiply(17, x.data(), result.data());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Guarded<float>& result : results) EXPECT_EQ(floats(result), floats(alone));
}

// The products of float32 under every instruction set of this CPU. With fused multiply-adds all give the same bits.
TEST(Gemm, InstructionSetsAgree) {
  RandomStream random = random_stream(98);
  const LinearShape shape{530, 77, 301};
  const Guarded<float> weight = normal_values<float>(random, shape.out * shape.in);
  const Guarded<float> x = normal_values<float>(random, shape.rows * shape.in);
  const Guarded<float> d_y = normal_values<float>(random, shape.rows * shape.out);
  std::map<std::string, Outputs> results;
  for (const char* target : {"avx512", "avx2", "baseline"}) {
    try {
      set_simd_target(target);
    } catch (const Error&) {
      continue;
    }
    expect_multiply<float, float>({65, 130}, 17, WeightUse::kForward, Epilogue::kSquaredRelu);
    expect_weight_gradient<float>({300, 33, 65}, true);
    PackedWeight packed(shape.out, shape.in, WeightUse::kForward, GemmPrecision::kF32);
    packed.pack(weight.data());
    const Guarded<float> y(shape.rows * shape.out);
    const Guarded<float> d_weight(shape.out * shape.in);
    packed.multiply(shape.rows, x.data(), y.data());
    weight_gradient(shape, d_y.data(), x.data(), d_weight.data(), false);
    results[target] = {{"y", floats(y)}, {"d_weight", floats(d_weight)}};
  }
  set_simd_target("best");
  ASSERT_TRUE(results.contains("baseline"));
  if (results.contains("avx512")) expect_same_bits(results["avx2"], results["avx512"], "AVX2 and AVX-512");
}

TEST(Gemm, PackingAgainReplacesTheWeight) {
  RandomStream random = random_stream(97);
  const Guarded<float> first = normal_values<float>(random, 13 * 5);
  const Guarded<float> second = normal_values<float>(random, 13 * 5);
  const Guarded<float> x = normal_values<float>(random, 5);
  const auto product = [&](PackedWeight& packed) {
    const Guarded<float> y(13);
    packed.multiply(1, x.data(), y.data());
    return floats(y);
  };
  PackedWeight packed(13, 5, WeightUse::kForward, GemmPrecision::kF32);
  packed.pack(first.data());
  const std::vector<float> before = product(packed);
  packed.pack(second.data());
  PackedWeight moved = std::move(packed);
  const std::vector<float> after = product(moved);
  moved.pack(first.data());
  EXPECT_NE(before, after);
  EXPECT_EQ(product(moved), before);
}

TEST(Gemm, NoRowsIsNothingToDo) {
  const Guarded<float> weight(13 * 5);
  PackedWeight packed(13, 5, WeightUse::kForward, GemmPrecision::kF32);
  packed.pack(weight.data());
  const Guarded<float> y(0);
  packed.multiply<float, float>(0, nullptr, y.data());
  EXPECT_TRUE(y.intact());
}

TEST(Gemm, WrongActivationTypeIsABug) {
  PackedWeight packed(13, 5, WeightUse::kForward, GemmPrecision::kF32);
  const Guarded<Bf16> x(5);
  const Guarded<Bf16> y(13);
  EXPECT_THROW(packed.multiply(1, x.data(), y.data()), Bug);
}

TEST(Gemm, PrecisionsHaveNames) {
  EXPECT_EQ(gemm_precision("f32"), GemmPrecision::kF32);
  EXPECT_EQ(gemm_precision("auto"), cpu_multiplies_bf16() ? GemmPrecision::kBf16 : GemmPrecision::kF32);
  EXPECT_EQ(name_of(GemmPrecision::kF32), "f32");
  EXPECT_EQ(name_of(GemmPrecision::kBf16), "bf16");
  expect_error(ErrorKind::kInvalidArgument, {"\"f16\"", "auto", "f32", "bf16"}, [] { gemm_precision("f16"); });
#if defined(__x86_64__)
  // Unless the environment makes it a smaller CPU.
  const bool is_limited = std::getenv("DNNL_MAX_CPU_ISA") != nullptr || std::getenv("ONEDNN_MAX_CPU_ISA") != nullptr;
  if (__builtin_cpu_supports("avx512bf16") && !is_limited) {
    EXPECT_TRUE(cpu_multiplies_bf16());
  }
#endif
}

}  // namespace
}  // namespace spikegpt::test
