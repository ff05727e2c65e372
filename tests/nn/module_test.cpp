#include <midigpt/nn/module.hpp>

#include <doctest/doctest.h>

#include <cmath>

using namespace midigpt;

TEST_CASE("module: a new parameter is zero, its gradient has its shape") {
  const Parameter<float> p = make_parameter<float>("h.0.ln_1.weight", Shape{3, 5}, true);
  CHECK(p.name == "h.0.ln_1.weight");
  CHECK(p.decay);
  CHECK(p.grad.shape() == Shape{3, 5});
  CHECK((p.value == Tensor<float>(Shape{3, 5})));
}

TEST_CASE("module: normal numbers have the deviation asked for, and each stream has its own") {
  Tensor<double> x(Shape{100, 200}), same(Shape{100, 200}), other(Shape{100, 200});
  fill_normal(x, 0.02, 7, 3);
  fill_normal(same, 0.02, 7, 3);
  fill_normal(other, 0.02, 7, 4);
  CHECK((x == same));
  double sum = 0, squares = 0, product = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += x[i];
    squares += x[i] * x[i];
    product += x[i] * other[i];
  }
  const double n = static_cast<double>(x.size());
  CHECK(std::abs(sum / n) < 4 * 0.02 / std::sqrt(n));
  CHECK(std::sqrt(squares / n) == doctest::Approx(0.02).epsilon(0.02));
  CHECK(std::abs(product / n) < 4 * 0.02 * 0.02 / std::sqrt(n));
}
