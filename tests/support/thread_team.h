// Ranks that are threads of one process, so that what several processes do can be tested without starting any.
#pragma once

#include <barrier>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <condition_variable>
#include <thread>
#include <vector>

#include "spikegpt/train/communicator.h"

namespace spikegpt::test {

class ThreadTeam {
 public:
  explicit ThreadTeam(int size) : size_(size), barrier_(size), pointers_(static_cast<std::size_t>(size)) {}

  // Runs body(communicator) on every rank and waits for all.
  void run(const std::function<void(Communicator&)>& body) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size_; ++rank) {
      threads.emplace_back([this, rank, &body] {
        Rank communicator(*this, rank);
        body(communicator);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  struct Message {
    int from;
    int to;
    std::vector<std::byte> bytes;
  };

  class Rank final : public Communicator {
   public:
    Rank(ThreadTeam& team, int rank) : team_(team), rank_(rank) {}
    int rank() const noexcept override { return rank_; }
    int size() const noexcept override { return team_.size_; }

    void broadcast(std::span<std::byte> bytes) override {
      const auto* from = static_cast<const std::byte*>(team_.meet(rank_, bytes.data())[0]);
      if (rank_ != 0 && !bytes.empty()) std::memcpy(bytes.data(), from, bytes.size());
      team_.barrier_.arrive_and_wait();
    }
    void sum(std::span<double> values) override {
      std::vector<double> total(values.size());
      for (const void* other : team_.meet(rank_, values.data())) {
        for (std::size_t i = 0; i < values.size(); ++i) total[i] += static_cast<const double*>(other)[i];
      }
      team_.barrier_.arrive_and_wait();
      std::copy(total.begin(), total.end(), values.begin());
    }
    void exchange(int to, std::span<const std::byte> out, int from, std::span<std::byte> in) override {
      if (!out.empty()) put(to, out);
      if (!in.empty()) take(from, in);
    }

   private:
    void put(int to, std::span<const std::byte> bytes) {
      const std::lock_guard lock(team_.mutex_);
      team_.messages_.push_back({rank_, to, {bytes.begin(), bytes.end()}});
      team_.arrived_.notify_all();
    }
    void take(int from, std::span<std::byte> bytes) {
      std::unique_lock lock(team_.mutex_);
      auto found = team_.messages_.end();
      team_.arrived_.wait(lock, [&] {
        for (found = team_.messages_.begin(); found != team_.messages_.end(); ++found) {
          if (found->from == from && found->to == rank_) return true;
        }
        return false;
      });
      if (found->bytes.size() != bytes.size()) std::abort();
      std::copy(found->bytes.begin(), found->bytes.end(), bytes.begin());
      team_.messages_.erase(found);
    }

    ThreadTeam& team_;
    int rank_;
  };

  // What every rank brought, once all are here.
  const std::vector<const void*>& meet(int rank, const void* pointer) {
    pointers_[static_cast<std::size_t>(rank)] = pointer;
    barrier_.arrive_and_wait();
    return pointers_;
  }

  int size_;
  std::barrier<> barrier_;
  std::vector<const void*> pointers_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Message> messages_;
};

}  // namespace spikegpt::test
