// Fork-join parallelism. Work is cut by shape, never by thread count, so results do not depend on it.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace spikegpt {

// Number of threads that parallel_for and the dense products use.
int thread_count();
// Sets it for the whole process; 0 = one per processor this process may use.
void set_thread_count(int threads);

// Threads of OpenMP that were started for the calling thread take no more signals; for library code that they run.
void block_signals_in_openmp_threads();

// While one exists, parallel_for runs on a pool of threads that a task reaches in half a microsecond, and that nobody
// waits for who has not begun: what decoding needs, a few hundred short regions per token. OpenMP, whose threads the
// dense products share, serves all else. May be nested; for the thread that runs the regions.
class ShortRegions {
 public:
  ShortRegions() noexcept;
  ~ShortRegions();
  ShortRegions(const ShortRegions&) = delete;
  ShortRegions& operator=(const ShortRegions&) = delete;
};

namespace detail {
using TaskFunction = void (*)(void* body, std::int64_t task, int worker);
void run_tasks(std::int64_t tasks, TaskFunction function, void* body);
}  // namespace detail

// Calls body(task) or body(task, worker) for every task in [0, tasks), in any order, on several threads.
// `worker` is in [0, thread_count()); no two tasks of one worker run at once, so it can name scratch memory.
// `body` must not throw. Makes no allocation.
template <class Body>
void parallel_for(std::int64_t tasks, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::run_tasks(
      tasks,
      [](void* b, std::int64_t task, [[maybe_unused]] int worker) {
        if constexpr (std::is_invocable_v<Plain&, std::int64_t, int>) {
          (*static_cast<Plain*>(b))(task, worker);
        } else {
          (*static_cast<Plain*>(b))(task);
        }
      },
      const_cast<std::remove_const_t<Plain>*>(&body));
}

// Elements of work below which sharing it costs more than it saves: a fork and a join take a microsecond or two.
inline constexpr std::int64_t kSerialWork = 16384;

// The same for tasks that together touch `elements` elements: on the calling thread alone where that is quicker.
template <class Body>
void parallel_for(std::int64_t tasks, std::int64_t elements, Body&& body) {
  if (elements >= kSerialWork) return parallel_for(tasks, std::forward<Body>(body));
  for (std::int64_t task = 0; task < tasks; ++task) {
    if constexpr (std::is_invocable_v<Body&, std::int64_t, int>) {
      body(task, 0);
    } else {
      body(task);
    }
  }
}

}  // namespace spikegpt
