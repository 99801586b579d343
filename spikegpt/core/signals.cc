#include "spikegpt/core/signals.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <thread>

namespace spikegpt {
namespace {

// Raised by what a thread itself does: nobody else can take them, and a blocked one ends the process.
constexpr std::array kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

sigset_t all_but_faults() noexcept {
  sigset_t set;
  sigfillset(&set);
  for (const int fault : kFaults) sigdelset(&set, fault);
  return set;
}

}  // namespace

BlockedSignals::BlockedSignals() noexcept {
  const sigset_t blocked = all_but_faults();
  pthread_sigmask(SIG_BLOCK, &blocked, &before_);
}
BlockedSignals::~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void block_signals() noexcept {
  const sigset_t blocked = all_but_faults();
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

AllowedSignals::AllowedSignals() noexcept {
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, &before_);
}
AllowedSignals::~AllowedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void take_signals_on_a_thread_of_their_own() {
  // Blocked first: the new thread then begins with signals blocked and opens itself to them.
  block_signals();
  std::thread([] {
    const AllowedSignals allowed;
    for (;;) pause();
  }).detach();
}

void use_alternate_signal_stack() {
  struct Stack {
    std::unique_ptr<char[]> memory;
    ~Stack() {
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
  };
  thread_local Stack stack;
  if (stack.memory != nullptr) return;
  constexpr std::size_t kSize = 65536;  // bytes; AVX-512 and AMX registers alone take 11 KB of a frame
  stack.memory = std::make_unique<char[]>(kSize);
  stack_t chosen = {};
  chosen.ss_sp = stack.memory.get();
  chosen.ss_size = kSize;
  sigaltstack(&chosen, nullptr);
}

}  // namespace spikegpt
