// Counts every allocation of this program through operator new: a training step must make none once it has warmed up.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include <train/trainer_run.hpp>

namespace {
std::atomic<std::size_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* p = alignment <= alignof(std::max_align_t) ? std::malloc(size == 0 ? 1 : size)
                                                   : std::aligned_alloc(alignment, rounded);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

using namespace midigpt;

TEST_CASE("trainer: a step allocates nothing after the first, across epochs, on one thread and on three") {
  for (const std::size_t threads : {1u, 3u}) {
    CAPTURE(threads);
    TestRun run(threads);
    Trainer trainer(run.model, run.data, run.held_out, run.pool, TestRun::options());
    REQUIRE(trainer.step());
    const std::size_t before = allocations;
    for (int i = 0; i < 100; ++i) REQUIRE(trainer.step());
    CHECK(allocations - before == 0);
    CHECK(before > 0);
  }
}

TEST_CASE("trainer: run() allocates nothing between two steps, callback and log included") {
  TestFolder folder("heap");
  TestRun run;
  auto options = TestRun::options(folder.path);
  options.steps = 60;
  options.eval_every = 0;
  std::size_t last = 0, calls = 0;
  options.on_step = [&](const StepReport& r) {
    if (r.step > 2) calls += allocations - last;
    last = allocations;
  };
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  REQUIRE(trainer.run());
  CHECK(calls == 0);
}
