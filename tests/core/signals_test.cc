#include "spikegpt/core/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace spikegpt::test {
namespace {

std::atomic<int> handled = 0;
std::atomic<pthread_t> handled_by = pthread_t();
extern "C" void note_signal(int) {
  handled_by = pthread_self();
  ++handled;
}

class Signals : public testing::Test {
 protected:
  Signals() {
    handled = 0;
    before_ = std::signal(SIGUSR2, note_signal);
  }
  ~Signals() override { std::signal(SIGUSR2, before_); }

 private:
  void (*before_)(int) = nullptr;
};

TEST_F(Signals, AreTakenAfterABlock) {
  {
    const BlockedSignals blocked;
    pthread_kill(pthread_self(), SIGUSR2);
    EXPECT_EQ(handled, 0);
    {
      const BlockedSignals twice;
    }
    EXPECT_EQ(handled, 0);
  }
  EXPECT_EQ(handled, 1);
}

TEST_F(Signals, AreTakenWhereTheyAreAllowed) {
  const BlockedSignals blocked;
  pthread_kill(pthread_self(), SIGUSR2);
  EXPECT_EQ(handled, 0);
  const AllowedSignals allowed;
  EXPECT_EQ(handled, 1);
}

TEST_F(Signals, FaultsAreNeverBlocked) {
  const BlockedSignals blocked;
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) EXPECT_EQ(sigismember(&now, fault), 0) << fault;
  for (const int other : {SIGINT, SIGTERM, SIGALRM, SIGPROF, SIGUSR1}) EXPECT_EQ(sigismember(&now, other), 1) << other;
}

// Whether in a program whose signals have a thread of their own every one of many signals was handled, and none by
// the thread that computes.
bool handled_elsewhere() {
  take_signals_on_a_thread_of_their_own();
  for (int i = 1; i <= 20; ++i) {
    kill(getpid(), SIGUSR2);
    for (int wait = 0; handled < i && wait < 5000; ++wait) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (handled != i || pthread_equal(handled_by, pthread_self()) != 0) return false;
  }
  return true;
}

TEST_F(Signals, HaveAThreadOfTheirOwnInAProgram) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(handled_elsewhere() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A handler with SA_ONSTACK runs on the other stack, also in threads, and threads may end.
std::atomic<char*> handler_stack = nullptr;
extern "C" void note_stack(int) {
  char here = 0;
  handler_stack = &here;
}

TEST_F(Signals, MayHaveAStackOfTheirOwn) {
  struct sigaction action = {};
  action.sa_handler = note_stack;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR2, &action, nullptr);
  std::thread([] {
    char here = 0;
    use_alternate_signal_stack();
    use_alternate_signal_stack();
    pthread_kill(pthread_self(), SIGUSR2);
    EXPECT_GT(std::abs(handler_stack - &here), 16384);
  }).join();
}

}  // namespace
}  // namespace spikegpt::test
