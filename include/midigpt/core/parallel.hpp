// core/parallel.hpp - a small thread pool: numbered tasks, no queue, no allocation per call.
//   Work is cut by the caller into tasks whose results do not depend on who runs them; then neither does the sum, if the
//   caller adds the tasks' results in task order. No hidden threads: whoever wants threads makes a pool and passes it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions)
#include <exception>
#endif

namespace midigpt {
inline namespace v0 {

/// `threads` workers in total, the calling thread among them: ThreadPool(1) starts none.
class ThreadPool {
 public:
  explicit ThreadPool(std::size_t threads = 1) {
    const std::size_t extra = threads > 1 ? threads - 1 : 0;
    workers_.reserve(extra);
    for (std::size_t i = 0; i < extra; ++i) workers_.emplace_back([this, i] { work(i + 1); });
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    start_.notify_all();
    for (std::thread& w : workers_) w.join();
  }

  [[nodiscard]] std::size_t size() const noexcept { return workers_.size() + 1; }

  /// Calls task(index, worker) for every index in [0, n), each once, worker in [0, size()). Returns when all are done.
  /// An exception of a task is rethrown here after the others have ended. Not reentrant: one run at a time per pool.
  template <class Task>
  void run(std::size_t n, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    run_calls(
        n, [](void* context, std::size_t i, std::size_t worker) { (*static_cast<Plain*>(context))(i, worker); },
        const_cast<void*>(static_cast<const void*>(std::addressof(task))));  // NOLINT: Plain restores constness
  }

 private:
  using Call = void (*)(void* context, std::size_t index, std::size_t worker);

  /// run() for tasks of every type: compiled once.
  void run_calls(std::size_t n, Call call, void* context) {
    if (workers_.empty() || n <= 1) {
      for (std::size_t i = 0; i < n; ++i) call(context, i, 0);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      call_ = call;
      context_ = context;
      count_ = n;
      next_.store(0, std::memory_order_relaxed);
      busy_ = workers_.size();
      ++generation_;
    }
    start_.notify_all();
    drain(0);
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return busy_ == 0; });
#if defined(__cpp_exceptions)
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
#endif
  }

  void drain(std::size_t worker) {
    for (;;) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count_) return;
#if defined(__cpp_exceptions)
      try {
        call_(context_, i, worker);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        next_.store(count_, std::memory_order_relaxed);
      }
#else
      call_(context_, i, worker);
#endif
    }
  }

  void work(std::size_t worker) {
    std::size_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
      }
      drain(worker);
      {
        const std::lock_guard lock(mutex_);
        --busy_;
      }
      finished_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, finished_;
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::size_t count_ = 0, busy_ = 0, generation_ = 0;
  std::atomic<std::size_t> next_{0};
  bool stop_ = false;
#if defined(__cpp_exceptions)
  std::exception_ptr failure_;
#endif
};

}  // namespace v0
}  // namespace midigpt
