// Owned memory, aligned for vector loads, and the arena that hands out pieces of one buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace spikegpt {

inline constexpr std::size_t kAlignment = 64;  // bytes; a cache line and an AVX-512 vector

// A block of zeroed memory.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  // Throws Error (kMemory) that names the size.
  explicit AlignedBytes(std::size_t size);

  std::byte* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count) : bytes_(count * sizeof(T)), count_(count) {}

  T* data() const noexcept { return reinterpret_cast<T*>(bytes_.data()); }
  std::size_t size() const noexcept { return count_; }
  std::span<T> span() const noexcept { return {data(), count_}; }
  T& operator[](std::size_t index) const noexcept { return data()[index]; }

 private:
  AlignedBytes bytes_;
  std::size_t count_ = 0;
};

// Hands out consecutive aligned pieces of one buffer. Used twice with the same requests: first
// without memory to learn the size (`take` returns nullptr), then with a buffer of that size.
class Arena {
 public:
  Arena() = default;
  Arena(std::byte* memory, std::size_t size) : memory_(memory), size_(size) {}

  template <class T>
  T* take(std::int64_t count) {
    return reinterpret_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  std::size_t used() const noexcept { return used_; }
  // Goes back to an earlier `used()`, so that two phases share the same memory.
  void rewind(std::size_t mark) noexcept { used_ = mark; }
  // The most that was in use at once.
  std::size_t peak() const noexcept { return peak_; }

 private:
  std::byte* take_bytes(std::size_t bytes);

  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace spikegpt
