// A training step takes no memory from the heap once the first steps are over. oneDNN makes a few small objects for
// every product it runs (about 300 bytes); those are its own affair and are not counted.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "spikegpt/data/window_sampler.h"
#include "spikegpt/train/trainer.h"

namespace {
std::atomic<bool> counting = false;
std::atomic<std::int64_t> allocated_bytes = 0;
std::atomic<std::int64_t> allocations = 0;

[[maybe_unused]] bool called_from_onednn(void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libdnnl") != nullptr;
}
}  // namespace

// Sanitizers have allocation functions of their own, which must not be replaced.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounts = false;
#else
constexpr bool kCounts = true;
#ifndef __clang__
// GCC inlines the operators below and then takes them for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

void* operator new(std::size_t size) {
  if (counting && !called_from_onednn(__builtin_return_address(0))) {
    ++allocations;
    allocated_bytes += static_cast<std::int64_t>(size);
  }
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace spikegpt::test {
namespace {

class StepAllocations : public testing::TestWithParam<const char*> {};

TEST_P(StepAllocations, None) {
  if (!kCounts) GTEST_SKIP() << "allocations are not counted under sanitizers";
  ModelConfig model = default_config(GetParam());
  model.n_layer = 2;
  model.n_embd = 48;
  model.vocab_size = 40;
  model.ctx_len = 32;
  TrainConfig config;
  config.batch_size = 4;
  std::vector<TokenId> text;
  for (int i = 0; i < 500; ++i) text.push_back(i * 7 % 40);
  const WindowSampler windows(make_token_stream(text, 40), model.ctx_len, 1);
  Trainer trainer(model, config, windows);
  trainer.initialise_parameters();
  trainer.step(1e-3);
  trainer.step(1e-3);
  counting = true;
  trainer.step(1e-3);
  counting = false;
  EXPECT_EQ(allocations.exchange(0), 0) << allocated_bytes.exchange(0) << " bytes";
}

INSTANTIATE_TEST_SUITE_P(All, StepAllocations, testing::Values("spikegpt", "rwkv", "event"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace spikegpt::test
