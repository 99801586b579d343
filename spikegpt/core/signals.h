// Which threads signals may interrupt. A handler's frame is written onto the stack of the thread that is interrupted,
// and library code that keeps data below its stack pointer loses it (docs/decisions/float-products.md).
#pragma once

#include <csignal>

namespace spikegpt {

// While one exists, the calling thread takes no signal; the process gets it on another thread, or later. Signals that
// report a fault of the thread itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, ...) stay as they are.
class BlockedSignals {
 public:
  BlockedSignals() noexcept;
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

// The same for good, for threads that belong to the engine.
void block_signals() noexcept;

// While one exists, the calling thread takes every signal, and so does a program that it starts: children inherit.
class AllowedSignals {
 public:
  AllowedSignals() noexcept;
  ~AllowedSignals();
  AllowedSignals(const AllowedSignals&) = delete;
  AllowedSignals& operator=(const AllowedSignals&) = delete;

 private:
  sigset_t before_;
};

// For programs, before any other thread begins: one thread, which computes nothing, takes all signals from now on;
// the calling thread and those that it starts take none. Handlers run on that thread.
void take_signals_on_a_thread_of_their_own();

// Gives the calling thread a stack of its own for handlers installed with SA_ONSTACK.
void use_alternate_signal_stack();

}  // namespace spikegpt
