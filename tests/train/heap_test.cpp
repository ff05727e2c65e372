// Counts every allocation of this program through operator new: a training step must make none once it has warmed up.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include <midigpt/nn/lstm.hpp>
#include <midigpt/train/optimizer.hpp>

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

TEST_CASE("lstm: a training step of either model allocates nothing after the first on one tape") {
  ThreadPool pool(1);
  Rng rng(1);
  std::vector<std::int32_t> fields;
  std::vector<LstmNote> notes;
  for (int i = 0; i < 8 * 26; ++i) {
    fields.insert(fields.end(), {rng.between(0, 63), rng.between(0, 127), rng.between(1, 31), rng.between(1, 3)});
    notes.push_back({static_cast<float>(rng.between(0, 127)), static_cast<float>(rng.uniform()), static_cast<float>(rng.uniform())});
  }
  FieldLstm<float> plus;
  NoteLstm<float> author;
  plus.init(1);
  author.init(1);
  AdamW<float> plus_optimizer(plus.parameters()), author_optimizer(author.parameters());
  Tape<float> tape;
  std::size_t before = 0;
  for (int step = 0; step < 10; ++step) {
    if (step == 1) before = allocations;
    (void)plus.loss_and_gradients(fields, tape);
    plus_optimizer.step(0.001, (std::min)(1.0, 1.0 / plus_optimizer.grad_norm(pool)), pool);
    (void)author.loss_and_gradients(notes, tape);  // the same tape: room for the larger of the two
    author_optimizer.step(0.001, 1.0, pool);
    (void)plus.loss(fields, tape);
  }
  CHECK(allocations - before == 0);
}

TEST_CASE("tape: a net of every operation allocates nothing after the first pass") {
  const std::vector<std::int32_t> ids{1, 4, 2, 2, 0, 3}, targets{4, 2, -1, 0, 3, 1};
  const std::vector<float> goals{1, 2, 3, 4, 5, 6};
  Tensor<float> table(Shape{5, 8}), slopes(Shape{5, 8});
  Rng rng(1);
  for (float& x : table.span()) x = static_cast<float>(rng.normal());
  Tape<float> tape;
  std::size_t before = 0;
  for (int pass = 0; pass < 6; ++pass) {
    if (pass == 1) before = allocations;
    tape.clear();
    const auto leaf = [&](const Shape& shape) { return tape.input(tape.tensor(shape)); };
    const auto cube = [&](Var<float> x, const Shape& shape) {
      Tensor<float> y = tape.tensor(shape);
      std::copy_n(x.value().data(), y.size(), y.data());
      return tape.record(std::move(y), [x](const Tensor<float>& dy) {
        for (std::size_t i = 0; i < dy.size(); ++i) x.grad()[i] += dy[i];
      });
    };
    auto x = ops::dropout(ops::embedding(tape.parameter(table, slopes), ids), 0.1f, 7u);
    x = ops::layer_norm(x, leaf({8}), leaf({8}));
    x = ops::causal_attention(cube(ops::linear(x, leaf({8, 24}), leaf({24})), {2, 3, 24}), 2);
    x = ops::gelu(ops::linear_gelu(x, leaf({8, 8}), leaf({8})));
    x = ops::add(x, cube(ops::lstm(cube(x, {6, 1, 8}), leaf({8, 32}), leaf({8, 32}), leaf({32})), {6, 8}));
    const auto logits = ops::linear(x, leaf({8, 5}), leaf({5}));
    auto loss = ops::add(ops::cross_entropy(logits, targets), ops::linear_cross_entropy(x, leaf({8, 5}), leaf({5}), targets));
    const auto column = ops::linear(logits, leaf({5, 1}), leaf({1}));
    loss = ops::add(loss, ops::scale(ops::mean_squared_error(column, std::span(goals)), 0.5f));
    tape.backward(ops::add(loss, ops::mean_squared_log_error(column, std::span(goals))));
  }
  CHECK(allocations - before == 0);
}
