#include <midigpt/nn/gpt.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/tensor/ops.hpp>
#include <midigpt/train/optimizer.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

#include "slopes.hpp"

using namespace midigpt;

namespace {

struct World {
  std::vector<std::int32_t> ids, targets;
  std::size_t B, T;
  TokenBatch batch() const { return {ids, targets, B, T}; }
};

World random_world(std::size_t B, std::size_t T, int V, std::uint64_t seed) {
  World w{std::vector<std::int32_t>(B * T), std::vector<std::int32_t>(B * T), B, T};
  Rng rng(seed, 9);
  for (auto& id : w.ids) id = rng.between(0, V - 1);
  for (auto& id : w.targets) id = rng.chance(0.1) ? -1 : rng.between(0, V - 1);
  return w;
}

SparseFeatures random_features(int V, int K, std::uint64_t seed) {
  SparseFeatures f{.n_features = K, .row_begin = {0}, .column = {}, .value = {}};
  Rng rng(seed, 10);
  for (int v = 0; v < V; ++v) {
    for (int i = rng.between(0, 4); i > 0; --i) {
      f.column.push_back(rng.between(0, K - 1));
      f.value.push_back(static_cast<float>(rng.between(1, 2)));
    }
    f.row_begin.push_back(static_cast<std::int32_t>(f.column.size()));
  }
  return f;
}

template <class T>
Gpt<T> random_gpt(const GptConfig& config, const SparseFeatures& features = {}) {
  Gpt<T> model(config, features);
  model.init(3);
  Rng rng(4);
  for (auto& p : model.parameters()) {
    for (T& v : p.value.span()) v += static_cast<T>(0.1 * rng.normal());
  }
  return model;
}

constexpr GptConfig k_small{.n_layer = 2, .n_head = 2, .n_embd = 10, .block_size = 40, .vocab_size = 300};

template <class Product>
double worst_slope_of(const GptConfig& config, const SparseFeatures& features, std::size_t B, std::size_t time,
                      std::string& where) {
  Gpt<double> model = random_gpt<double>(config, features);
  const World world = random_world(B, time, config.vocab_size, 5);
  ThreadPool pool(1);
  GptWorkspace<double, Product> workspace({.lanes = 3, .micro_tokens = 2 * time});
  const auto gradients = [&] {
    return model.loss_and_gradients(world.batch(), workspace, pool, {.dropout_seed = 8}).mean();
  };
  if (config.dropout > 0) return worst_slope(model, gradients, gradients, where);  // loss() has no dropout
  return worst_slope(model, gradients, [&] { return model.loss(world.batch(), workspace, pool).mean(); }, where);
}

}  // namespace

TEST_CASE("gpt: every gradient of a 2-layer model agrees with finite differences") {
  struct Row {
    const char* name;
    bool features, tied;
    float dropout;
    std::size_t B, T;
  };
  for (const Row& row : {Row{"plain", false, true, 0.0f, 5, 33}, Row{"features", true, true, 0.0f, 5, 33},
                         Row{"untied with features", true, false, 0.0f, 4, 7}, Row{"dropout", false, true, 0.2f, 4, 30},
                         Row{"one token", false, true, 0.0f, 1, 1}}) {
    CAPTURE(row.name);
    GptConfig config = k_small;
    config.tie_weights = row.tied;
    config.dropout = row.dropout;
    std::string where;
    const SparseFeatures features = row.features ? random_features(config.vocab_size, 7, 1) : SparseFeatures{};
    const double worst = worst_slope_of<PackedProduct>(config, features, row.B, row.T, where);
    CAPTURE(where);
    CHECK(worst <= 1e-5);
  }
  std::string where;
  CHECK(worst_slope_of<EigenProduct>(k_small, {}, 3, 9, where) <= 1e-5);
}

TEST_CASE("gpt: init() is GPT-2's: deviations 0.02 and 0.02 / sqrt(2 n_layer), norms one, biases zero") {
  Gpt<float> model({.n_layer = 8, .n_head = 2, .n_embd = 32, .block_size = 64, .vocab_size = 100, .tie_weights = false},
                   random_features(100, 40, 1));
  model.init(5);
  int drawn = 0;
  for (const auto& p : std::as_const(model).parameters()) {
    CAPTURE(p.name);
    if (p.name.ends_with("bias") || p.name.find("ln_") != std::string::npos) {
      for (const float v : p.value.span()) CHECK(v == (p.name.ends_with("bias") ? 0.0f : 1.0f));
      continue;
    }
    double sum = 0, squares = 0;
    for (const float v : p.value.span()) {
      sum += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    const double n = static_cast<double>(p.value.size()), want = p.name.ends_with("c_proj.weight") ? 0.02 / 4 : 0.02;
    CHECK(std::sqrt(squares / n) == doctest::Approx(want).epsilon(5 / std::sqrt(2 * n)));
    CHECK(std::abs(sum / n) <= 5 * want / std::sqrt(n));
    ++drawn;
  }
  CHECK(drawn == 4 + 4 * 8);
}

TEST_CASE("gpt: float equals double to 1e-5 over several blocks of attention, tied and untied, on every instruction set") {
  for (const bool tied : {true, false}) {
    for (const std::size_t time : {1u, 16u, 33u, 70u}) {
      GptConfig config{.n_layer = 2, .n_head = 3, .n_embd = 48, .block_size = 70, .vocab_size = 131, .tie_weights = tied};
      Gpt<double> exact = random_gpt<double>(config);
      Gpt<float> model(config);
      for (std::size_t k = 0; k < model.parameters().size(); ++k) {
        auto& p = model.parameters()[k];
        auto& e = exact.parameters()[k].value;
        for (std::size_t i = 0; i < p.value.size(); ++i) e[i] = static_cast<double>(p.value[i] = static_cast<float>(e[i]));
      }
      const World world = random_world(3, time, config.vocab_size, time);
      ThreadPool pool(2);
      GptWorkspace<double> workspace;
      std::vector<double> want(3 * time * 131);
      exact.logits(world.ids, 3, time, std::span<double>(want), workspace, pool);
      const double loss = exact.loss_and_gradients(world.batch(), workspace, pool).mean();
      each_isa([&](Isa isa) {
        CAPTURE(tied);
        CAPTURE(time);
        GptWorkspace<float> fast({.isa = isa});
        std::vector<float> logits(want.size());
        model.logits(world.ids, 3, time, std::span<float>(logits), fast, pool);
        Worst worst;
        for (std::size_t i = 0; i < want.size(); ++i) worst(std::abs(static_cast<double>(logits[i]) - want[i]));
        CHECK(worst.error <= 1e-5);
        CHECK(model.loss_and_gradients(world.batch(), fast, pool).mean() == doctest::Approx(loss).epsilon(1e-6));
        for (std::size_t k = 0; k < model.parameters().size(); ++k) {
          const auto& g = model.parameters()[k].grad;
          const auto& e = exact.parameters()[k].grad;
          CAPTURE(model.parameters()[k].name);
          double difference = 0, norm = 0;
          for (std::size_t i = 0; i < g.size(); ++i) {
            difference += (static_cast<double>(g[i]) - e[i]) * (static_cast<double>(g[i]) - e[i]);
            norm += e[i] * e[i];
          }
          CHECK(std::sqrt(difference) <= 1e-5 * std::sqrt(norm) + 1e-9);
        }
      });
    }
  }
}

TEST_CASE("gpt: the fast passes equal the same net written with the tape's operations") {
  GptConfig config = k_small;
  config.tie_weights = false;
  Gpt<double> model = random_gpt<double>(config);
  const World world = random_world(3, 11, config.vocab_size, 1);
  ThreadPool pool;
  GptWorkspace<double> workspace;
  const Loss loss = model.loss_and_gradients(world.batch(), workspace, pool);

  std::vector<Tensor<double>> slopes;
  for (const auto& p : model.parameters()) slopes.emplace_back(p.value.shape());
  Tape<double> tape;
  std::vector<Var<double>> w;
  for (std::size_t i = 0; i < slopes.size(); ++i) w.push_back(tape.parameter(model.parameters()[i].value, slopes[i]));
  std::vector<std::int32_t> positions;
  for (std::size_t i = 0; i < world.ids.size(); ++i) positions.push_back(static_cast<std::int32_t>(i % world.T));
  auto x = ops::add(ops::embedding(w[0], world.ids), ops::embedding(w[1], positions));
  const std::size_t C = 10;
  for (std::size_t at = 2; at < 26; at += 12) {
    auto qkv = ops::linear(ops::layer_norm(x, w[at], w[at + 1]), w[at + 2], w[at + 3]);
    Tensor<double> shaped(Shape{world.B, world.T, 3 * C});
    std::copy_n(qkv.value().data(), shaped.size(), shaped.data());
    const auto cube = tape.record(std::move(shaped), [qkv](const Tensor<double>& dy) {
      for (std::size_t i = 0; i < dy.size(); ++i) qkv.grad()[i] += dy[i];
    });
    const auto y = ops::causal_attention(cube, 2);
    x = ops::add(x, ops::linear(y, w[at + 4], w[at + 5]));
    x = ops::add(x, ops::linear(ops::linear_gelu(ops::layer_norm(x, w[at + 6], w[at + 7]), w[at + 8], w[at + 9]),
                                w[at + 10], w[at + 11]));
  }
  x = ops::layer_norm(x, w[26], w[27]);
  Tensor<double> no_bias_grad(Shape{300}), head_grad(Shape{C, 300}), head(Shape{C, 300});
  head.map() = w[28].value().map().transpose();
  const auto logits =
      ops::linear(x, tape.parameter(head, head_grad), tape.parameter(Tensor<double>(Shape{300}), no_bias_grad));
  const auto total = ops::cross_entropy(logits, world.targets);
  tape.backward(total);
  slopes[28].map() = head_grad.map().transpose();

  CHECK(total.value()[0] == doctest::Approx(loss.mean()).epsilon(1e-12));
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    CAPTURE(model.parameters()[i].name);
    const auto &a = model.parameters()[i].grad, &b = slopes[i];
    CHECK((a.map() - b.map()).norm() <= 1e-12 * (1 + b.map().norm()));
  }
}

TEST_CASE("gpt: gradients, losses and logits have the same bits on 1, 2, 4 and 8 threads") {
  GptConfig config{.n_layer = 2, .n_head = 3, .n_embd = 48, .block_size = 32, .vocab_size = 500, .dropout = 0.1f};
  const SparseFeatures features = random_features(500, 20, 2);
  const World world = random_world(37, 32, 500, 3);
  std::vector<std::vector<Tensor<float>>> grads;
  std::vector<double> nats, eval;
  std::vector<std::vector<float>> logits;
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    Gpt<float> model = random_gpt<float>(config, features);
    ThreadPool pool(threads);
    GptWorkspace<float> workspace;
    nats.push_back(model.loss_and_gradients(world.batch(), workspace, pool, {.dropout_seed = 5}).nats);
    eval.push_back(model.loss(world.batch(), workspace, pool).nats);
    auto& g = grads.emplace_back();
    for (const auto& p : model.parameters()) g.push_back(p.grad);
    auto& out = logits.emplace_back(world.ids.size() * 500);
    model.logits(world.ids, world.B, world.T, std::span<float>(out), workspace, pool);
  }
  for (std::size_t i = 1; i < grads.size(); ++i) {
    CHECK(nats[i] == nats[0]);
    CHECK(eval[i] == eval[0]);
    CHECK((grads[i] == grads[0]));
    CHECK((logits[i] == logits[0]));
  }
}

TEST_CASE(
    "gpt: operations shared by threads give lane-wise gradients to rounding, the same bits on any number of threads") {
  const GptConfig config{
      .n_layer = 2, .n_head = 3, .n_embd = 48, .block_size = 32, .vocab_size = 2500, .dropout = 0.1f};
  const World world = random_world(21, 32, 2500, 3);
  Gpt<float> model = random_gpt<float>(config);
  const auto gradients = [&](std::size_t threads, std::size_t shared_from) {
    ThreadPool pool(threads);
    GptWorkspace<float> workspace({.shared_from = shared_from});
    (void)model.loss_and_gradients(world.batch(), workspace, pool, {.dropout_seed = 5});
    std::vector<Tensor<float>> grads;
    for (const auto& p : model.parameters()) grads.push_back(p.grad);
    return std::pair(std::move(grads), model.loss(world.batch(), workspace, pool).nats);
  };
  const auto one = gradients(1, 0), three = gradients(3, 0), lanes = gradients(2, 1'000'000'000);
  CHECK((one == three));
  CHECK(one.second == doctest::Approx(lanes.second).epsilon(1e-6));
  for (std::size_t i = 0; i < lanes.first.size(); ++i) {
    CAPTURE(model.parameters()[i].name);
    CHECK((one.first[i].map() - lanes.first[i].map()).norm() <= 1e-5f * lanes.first[i].map().norm() + 1e-8f);
  }
}

TEST_CASE("gpt: 100 AdamW steps end in the same bits on 1, 2, 4 and 8 threads, in lanes and with shared operations") {
  for (const std::size_t shared_from : {std::size_t{0}, std::size_t{1'000'000'000}}) {
    CAPTURE(shared_from);
    std::vector<Tensor<float>> want;
    for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
      CAPTURE(threads);
      GptConfig config = k_small;
      config.dropout = 0.1f;
      Gpt<float> model(config, random_features(config.vocab_size, 7, 1));
      model.init(1);
      ThreadPool pool(threads);
      GptWorkspace<float> workspace({.shared_from = shared_from});
      AdamW<float> optimizer(model.parameters());
      for (std::uint64_t step = 0; step < 100; ++step) {
        (void)model.loss_and_gradients(random_world(9, 20, 300, step).batch(), workspace, pool, {.dropout_seed = step});
        optimizer.step(1e-3, 1 / (1 + optimizer.grad_norm(pool)), pool);
      }
      std::vector<Tensor<float>> got;
      for (const auto& p : model.parameters()) got.push_back(p.value);
      if (want.empty()) want = got;
      CHECK((got == want));
      CHECK(all_finite(std::as_const(got[0]).span()));
    }
  }
}

TEST_CASE("gpt: dropout follows its seed, and evaluation has none") {
  GptConfig config = k_small;
  config.dropout = 0.3f;
  Gpt<float> model = random_gpt<float>(config);
  config.dropout = 0.0f;
  Gpt<float> plain = random_gpt<float>(config);
  const World world = random_world(4, 20, 300, 3);
  ThreadPool pool;
  GptWorkspace<float> workspace;
  const auto train = [&](std::uint64_t seed) {
    return model.loss_and_gradients(world.batch(), workspace, pool, {.dropout_seed = seed}).nats;
  };
  CHECK(train(1) == train(1));
  CHECK(train(1) != train(2));
  CHECK(model.loss(world.batch(), workspace, pool).nats == plain.loss(world.batch(), workspace, pool).nats);
}

TEST_CASE("gpt: gradients accumulate over parts of a batch to those of the whole") {
  Gpt<double> model = random_gpt<double>(k_small, random_features(300, 5, 4));
  const World world = random_world(6, 8, 300, 3);
  ThreadPool pool;
  GptWorkspace<double> workspace;
  const Loss whole = model.loss_and_gradients(world.batch(), workspace, pool);
  std::vector<Tensor<double>> want;
  for (const auto& p : model.parameters()) want.push_back(p.grad);
  Loss parts;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::span ids(world.ids), targets(world.targets);
    const Loss part = model.loss_and_gradients({ids.subspan(24 * i, 24), targets.subspan(24 * i, 24), 3, 8}, workspace,
                                               pool, {.accumulate = i > 0, .denominator = whole.count});
    parts.nats += part.nats;
    parts.count += part.count;
  }
  CHECK(parts.count == whole.count);
  CHECK(parts.nats == doctest::Approx(whole.nats).epsilon(1e-12));
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK((model.parameters()[i].grad.map() - want[i].map()).norm() <= 1e-12);
}

TEST_CASE("gpt: one token at a time gives the logits of the whole sequence, with and without features") {
  for (const bool tied : {true, false}) {
    GptConfig config = k_small;
    config.tie_weights = tied;
    const Gpt<double> model = random_gpt<double>(config, random_features(300, 9, 1)), plain = model.folded();
    const World world = random_world(1, 40, 300, 3);
    ThreadPool pool;
    GptWorkspace<double> workspace;
    std::vector<double> all(40 * 300), one(300), folded(300);
    model.logits(world.ids, 1, 40, std::span<double>(all), workspace, pool);
    KvCache<double> cache(model.config()), plain_cache(plain.config());
    Worst worst;
    const auto compare = [&](std::size_t t) {
      model.step(world.ids[t], cache, std::span<double>(one));
      plain.step(world.ids[t], plain_cache, std::span<double>(folded));
      for (std::size_t v = 0; v < 300; ++v) {
        worst(std::abs(one[v] - all[t * 300 + v]));
        worst(std::abs(folded[v] - one[v]));
      }
    };
    for (std::size_t t = 0; t < 40; ++t) compare(t);
    CHECK(cache.full());
    cache.truncate(7);
    plain_cache.truncate(7);
    for (std::size_t t = 7; t < 12; ++t) compare(t);
    CHECK(worst.error <= 1e-12);
    CHECK(plain.features().n_features == 0);
  }
}

TEST_CASE("gpt: names, shapes and order are those of GPT-2") {
  const Gpt<float> model(*gpt_preset("nano", 100, 64));
  CHECK(model.parameters()[0].name == "wte.weight");
  CHECK(model.parameters()[1].name == "wpe.weight");
  CHECK(model.parameters()[4].name == "h.0.attn.c_attn.weight");
  CHECK(model.parameters()[4].value.shape() == Shape{48, 144});
  CHECK(model.parameters().back().name == "ln_f.bias");
  CHECK(Gpt<float>(*gpt_preset("gpt2", 50257, 1024)).parameter_count() == 124439808);
  CHECK(!gpt_preset("huge", 1, 1));
}

TEST_CASE("gpt: what does not fit is refused with both sides") {
  CHECK_THROWS_AS(Gpt<float>(GptConfig{.n_head = 3, .n_embd = 128, .vocab_size = 5}), ShapeError);
  CHECK_THROWS_AS(Gpt<float>(GptConfig{}), ShapeError);
  SparseFeatures bad = random_features(300, 5, 1);
  bad.column[0] = 5;
  CHECK_THROWS_AS(Gpt<float>(k_small, bad), ShapeError);
  Gpt<float> model(k_small);
  ThreadPool pool;
  GptWorkspace<float> workspace;
  World world = random_world(2, 41, 300, 1);
  CHECK_THROWS_AS((void)model.loss(world.batch(), workspace, pool), ShapeError);
  world = random_world(2, 8, 300, 1);
  world.ids[3] = 300;
  CHECK_THROWS_WITH_AS((void)model.loss(world.batch(), workspace, pool), "token id 300 outside the vocabulary of 300",
                       ShapeError);
}
