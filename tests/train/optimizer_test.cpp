#include <midigpt/train/optimizer.hpp>

#include <support/worst.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace midigpt;

namespace {

template <class T>
std::vector<Parameter<T>> two_parameters() {
  std::vector<Parameter<T>> p;
  p.push_back(make_parameter<T>("matrix", Shape{7, 9}, true));
  p.push_back(make_parameter<T>("bias", Shape{5}, false));
  fill_normal(p[0].value, 1.0, 3, 0);
  fill_normal(p[1].value, 1.0, 3, 1);
  return p;
}

/// AdamW as the paper's algorithm 2 with bias correction, in double, one number at a time.
struct Reference {
  double w, m = 0, v = 0;
  void step(double g, double lr, int t, const AdamWOptions& o, bool decay) {
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double mh = m / (1 - std::pow(o.beta1, t)), vh = v / (1 - std::pow(o.beta2, t));
    w = w * (1 - (decay ? lr * o.weight_decay : 0)) - lr * mh / (std::sqrt(vh) + o.eps);
  }
};

}  // namespace

TEST_CASE("optimizer: AdamW agrees with the algorithm written out, decay only where it belongs") {
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  auto parameters = two_parameters<double>();
  auto single = two_parameters<float>();
  std::vector<Reference> want;
  for (const auto& p : parameters) {
    for (const double w : p.value.span()) want.push_back({w});
  }
  AdamW<double> optimizer(parameters, options);
  AdamW<float> optimizer_f(single, options);
  ThreadPool pool;
  Rng rng(11);
  for (int t = 1; t <= 20; ++t) {
    const double lr = 1e-2 / t, scale = t % 2 == 0 ? 0.5 : 1;
    std::size_t k = 0;
    for (std::size_t p = 0; p < 2; ++p) {
      for (std::size_t i = 0; i < parameters[p].grad.size(); ++i, ++k) {
        const double g = t == 3 ? 0 : rng.normal();
        parameters[p].grad[i] = g;
        single[p].grad[i] = static_cast<float>(g);
        want[k].step(g * scale, lr, t, options, p == 0);
      }
    }
    optimizer.step(lr, scale, pool);
    optimizer_f.step(lr, scale, pool);
  }
  CHECK(optimizer.steps() == 20);
  Worst worst, worst_f;
  std::size_t k = 0;
  for (std::size_t p = 0; p < 2; ++p) {
    for (std::size_t i = 0; i < parameters[p].value.size(); ++i, ++k) {
      worst(std::abs(parameters[p].value[i] - want[k].w));
      worst_f(std::abs(static_cast<double>(single[p].value[i]) - want[k].w));
    }
  }
  CHECK(worst.error < 1e-13);
  CHECK(worst_f.error < 2e-6);
}

TEST_CASE("optimizer: the first step of AdamW moves each number by the rate, whatever its gradient") {
  auto parameters = two_parameters<float>();
  const auto before = parameters;
  for (auto& p : parameters) {
    for (std::size_t i = 0; i < p.grad.size(); ++i) p.grad[i] = i % 2 == 0 ? 1e-3f : -40.0f;
  }
  AdamW<float> optimizer(parameters, {.weight_decay = 0});
  ThreadPool pool;
  optimizer.step(0.01, 1, pool);
  for (std::size_t i = 0; i < before[0].value.size(); ++i) {
    CHECK(parameters[0].value[i] - before[0].value[i] == doctest::Approx(i % 2 == 0 ? -0.01 : 0.01).epsilon(1e-4));
  }
}

TEST_CASE("optimizer: norm and update are the same bits on any number of threads") {
  std::vector<std::vector<Parameter<float>>> results;
  std::vector<double> norms;
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    std::vector<Parameter<float>> p;
    p.push_back(make_parameter<float>("big", Shape{300, 257}, true));
    p.push_back(make_parameter<float>("small", Shape{3}, false));
    ThreadPool pool(threads);
    AdamW<float> optimizer(p);
    for (std::uint64_t s = 0; s < 3; ++s) {
      fill_normal(p[0].grad, 1.0, 5, s);
      fill_normal(p[1].grad, 1.0, 6, s);
      norms.push_back(optimizer.grad_norm(pool));
      optimizer.step(1e-3, 0.7, pool);
    }
    results.push_back(std::move(p));
  }
  for (std::size_t i = 1; i < results.size(); ++i) {
    CHECK(results[i][0].value == results[0][0].value);
    CHECK(results[i][1].value == results[0][1].value);
    for (std::size_t s = 0; s < 3; ++s) CHECK(norms[3 * i + s] == norms[s]);
  }
  double sum = 0;
  Tensor<float> g(Shape{300, 257});
  fill_normal(g, 1.0, 5, 0);
  for (const float x : g.span()) sum += static_cast<double>(x) * static_cast<double>(x);
  fill_normal(g, 1.0, 6, 0);
  for (std::size_t i = 0; i < 3; ++i) sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  CHECK(norms[0] == doctest::Approx(std::sqrt(sum)).epsilon(1e-6));
}

TEST_CASE("optimizer: a gradient that is not finite is found by name") {
  auto parameters = two_parameters<float>();
  AdamW<float> optimizer(parameters);
  ThreadPool pool;
  CHECK(optimizer.find_bad_gradient() == nullptr);
  parameters[1].grad[4] = std::numeric_limits<float>::quiet_NaN();
  CHECK(!std::isfinite(optimizer.grad_norm(pool)));
  REQUIRE(optimizer.find_bad_gradient() != nullptr);
  CHECK(optimizer.find_bad_gradient()->name == "bias");
}

TEST_CASE("optimizer: schedules warm up to the peak and end at the fraction") {
  for (const Schedule kind : {Schedule::constant, Schedule::linear, Schedule::cosine}) {
    const ScheduleOptions o{.kind = kind, .lr = 2.0, .final_fraction = 0.1, .warmup = 10};
    CHECK(learning_rate(o, 0, 110) == doctest::Approx(0.2));
    CHECK(learning_rate(o, 9, 110) == doctest::Approx(2.0));
    CHECK(learning_rate(o, 10, 110) == doctest::Approx(2.0));
    CHECK(learning_rate(o, 60, 110) == doctest::Approx(kind == Schedule::constant ? 2.0 : 1.1));
    CHECK(learning_rate(o, 110, 110) == doctest::Approx(kind == Schedule::constant ? 2.0 : 0.2));
    CHECK(learning_rate(o, 500, 110) == doctest::Approx(kind == Schedule::constant ? 2.0 : 0.2));
    CHECK(learning_rate(o, 50, 110, 1.0) == doctest::Approx(kind == Schedule::constant ? 2.0 : 0.2));
    double last = 2.1;
    for (std::int64_t s = 10; s < 110; ++s) {
      CHECK(learning_rate(o, s, 110) <= last);
      last = learning_rate(o, s, 110);
    }
  }
  CHECK(learning_rate({.lr = 1, .warmup = 0}, 0, 10) == doctest::Approx(1));
  CHECK(learning_rate({.lr = 1, .warmup = 20}, 19, 10) == doctest::Approx(1));
}
