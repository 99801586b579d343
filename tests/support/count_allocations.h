// Replaces the allocation functions of a test program by ones that count while `counting` is set. oneDNN makes a few
// small objects for every product it runs; those are its own affair and are not counted. For one source file of a
// program.
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {
std::atomic<bool> counting = false;
std::atomic<std::int64_t> allocated_bytes = 0;
std::atomic<std::int64_t> allocations = 0;

[[maybe_unused]] bool called_from_onednn(void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr && std::strstr(info.dli_fname, "libdnnl") != nullptr;
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
