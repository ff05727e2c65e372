#include <midigpt/core/parallel.hpp>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

using namespace midigpt;

TEST_CASE("parallel: every task runs exactly once, on a worker of the pool") {
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    CAPTURE(threads);
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (const std::size_t n : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> ran(n);
      std::atomic<bool> worker_in_range{true};
      pool.run(n, [&](std::size_t i, std::size_t worker) {
        ++ran[i];
        if (worker >= pool.size()) worker_in_range = false;
      });
      for (const auto& r : ran) CHECK(r == 1);
      CHECK(worker_in_range);
    }
  }
}

TEST_CASE("parallel: runs follow each other without losing or repeating tasks") {
  ThreadPool pool(3);
  std::atomic<std::size_t> sum{0};
  for (std::size_t round = 0; round < 2000; ++round) {
    pool.run(5, [&](std::size_t i, std::size_t) { sum += i + 1; });
  }
  CHECK(sum == 2000 * 15);
}

TEST_CASE("parallel: an exception in a task reaches the caller, and the pool lives on") {
  ThreadPool pool(2);
  CHECK_THROWS_AS(pool.run(100, [](std::size_t i, std::size_t) {
    if (i == 50) throw std::runtime_error("task 50");
  }), std::runtime_error);
  std::atomic<int> ran{0};
  pool.run(10, [&](std::size_t, std::size_t) { ++ran; });
  CHECK(ran == 10);
}
