// Fork-join parallelism. Work is cut by shape, never by thread count, so results do not depend on it.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>

namespace spikegpt {

// Number of threads that parallel_for and the dense products use.
int thread_count();
// Sets it for the whole process; 0 = one per processor this process may use.
void set_thread_count(int threads);

namespace detail {
using TaskFunction = void (*)(void* body, std::int64_t task);
void run_tasks(std::int64_t tasks, TaskFunction function, void* body);
}  // namespace detail

// Calls body(task) for every task in [0, tasks), in any order, on several threads.
// `body` must not throw. Makes no allocation.
template <class Body>
void parallel_for(std::int64_t tasks, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::run_tasks(
      tasks, [](void* b, std::int64_t task) { (*static_cast<Plain*>(b))(task); },
      const_cast<std::remove_const_t<Plain>*>(&body));
}

}  // namespace spikegpt
