#include <midigpt/nn/gpt_pass.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <midigpt/nn/gpt.hpp>

#include <support/worst.hpp>

using namespace midigpt;

namespace {

constexpr GptConfig k_config{.n_layer = 2, .n_head = 2, .n_embd = 32, .block_size = 24, .vocab_size = 300};

struct Batch {
  std::vector<std::int32_t> ids, targets;
  TokenBatch view(std::size_t B) const {
    return {std::span(ids).first(B * 24), std::span(targets).first(B * 24), B, 24};
  }
};

Batch random_batch(std::uint64_t seed) {
  Batch batch;
  Rng rng(seed);
  for (int i = 0; i < 19 * 24; ++i) {
    batch.ids.push_back(rng.between(0, 299));
    batch.targets.push_back(rng.between(-1, 299));
  }
  return batch;
}

std::vector<Tensor<float>> gradients(const Gpt<float>& model) {
  std::vector<Tensor<float>> out;
  for (const auto& p : model.parameters()) out.push_back(p.grad);
  return out;
}

double distance(const std::vector<Tensor<float>>& a, const std::vector<Tensor<float>>& b) {
  Worst worst;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst(static_cast<double>((a[i].map() - b[i].map()).norm() / (b[i].map().norm() + 1e-4f)));
  return worst.error;
}

}  // namespace

TEST_CASE("gpt pass: gradients do not depend on how the batch is cut, but for rounding") {
  Gpt<float> model(k_config);
  model.init(1);
  const Batch batch = random_batch(2);
  ThreadPool pool(3);
  GptWorkspace<float> whole({.lanes = 1, .micro_tokens = 19 * 24});
  const double nats = model.loss_and_gradients(batch.view(19), whole, pool).nats;
  const auto want = gradients(model);
  for (const std::size_t lanes : {1u, 2u, 5u, 19u}) {
    for (const std::size_t tokens : {1u, 48u, 100u}) {
      CAPTURE(lanes);
      CAPTURE(tokens);
      GptWorkspace<float> workspace({.lanes = lanes, .micro_tokens = tokens});
      CHECK(model.loss_and_gradients(batch.view(19), workspace, pool).nats == doctest::Approx(nats).epsilon(1e-6));
      CHECK(distance(gradients(model), want) < 1e-5);
    }
  }
}

TEST_CASE("gpt pass: nothing of an earlier batch is left in the memory of the next, whatever its size") {
  Gpt<float> model(k_config);
  model.init(1);
  const Batch a = random_batch(2), b = random_batch(3);
  ThreadPool pool(2);
  GptWorkspace<float> used;
  for (const std::size_t B : {19u, 1u, 7u, 19u}) {
    CAPTURE(B);
    (void)model.loss_and_gradients(a.view(19), used, pool);
    (void)model.loss_and_gradients(b.view(B), used, pool);
    const auto after = gradients(model);
    GptWorkspace<float> fresh;
    (void)model.loss_and_gradients(b.view(B), fresh, pool);
    CHECK((after == gradients(model)));
  }
}

TEST_CASE("gpt pass: accumulating the same batch twice doubles the gradients") {
  Gpt<float> model(k_config);
  model.init(1);
  const Batch batch = random_batch(2);
  ThreadPool pool(2);
  GptWorkspace<float> workspace;
  (void)model.loss_and_gradients(batch.view(19), workspace, pool);
  auto want = gradients(model);
  for (auto& g : want) {
    for (float& v : g.span()) v *= 2;
  }
  (void)model.loss_and_gradients(batch.view(19), workspace, pool, {.accumulate = true});
  CHECK(distance(gradients(model), want) < 1e-5);
}

TEST_CASE("gpt pass: a batch without targets has no loss and zero gradients") {
  Gpt<float> model(k_config);
  model.init(1);
  Batch batch = random_batch(2);
  ThreadPool pool(2);
  GptWorkspace<float> workspace;
  (void)model.loss_and_gradients(batch.view(19), workspace, pool);
  batch.targets.assign(batch.targets.size(), -1);
  const Loss loss = model.loss_and_gradients(batch.view(19), workspace, pool);
  CHECK(loss.count == 0);
  CHECK(loss.nats == 0);
  for (const auto& p : model.parameters()) CHECK(sum_of_squares(std::span<const float>(p.grad.span())) == 0);
}
