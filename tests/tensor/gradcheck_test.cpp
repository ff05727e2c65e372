#include <midigpt/tensor/gradcheck.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

using Vars = std::span<const Var<double>>;

/// f of each element of the first input, whose slope at element i is said to be slope(i, x).
template <class F, class D>
auto each(F f, D slope) {
  return [=](auto& tape, Vars in) {
    const Var<double> x = in[0];
    Tensor<double> y = x.value();
    for (double& v : y.span()) v = f(v);
    return tape.record(std::move(y), [=](const Tensor<double>& dy) {
      for (std::size_t i = 0; i < dy.size(); ++i) x.grad()[i] += slope(i, x.value()[i]) * dy[i];
    });
  };
}

double square(double x) { return x * x; }

/// a (M,K) times b (K,N); the slope of b is multiplied by `b_factor`.
auto matmul_op(double b_factor) {
  return [=](auto& tape, Vars in) {
    const Var<double> a = in[0], b = in[1];
    const std::size_t M = a.shape()[0], K = a.shape()[1], N = b.shape()[1];
    Tensor<double> y(Shape{M, N});
    y.map() = a.value().map() * b.value().map();
    return tape.record(std::move(y), [=](const Tensor<double>& dy) {
      for (std::size_t i = 0; i < M; ++i)
        for (std::size_t j = 0; j < N; ++j)
          for (std::size_t k = 0; k < K; ++k) {
            a.grad()[i * K + k] += dy[i * N + j] * b.value()[k * N + j];
            b.grad()[k * N + j] += dy[i * N + j] * a.value()[i * K + k] * b_factor;
          }
    });
  };
}

}  // namespace

TEST_CASE("gradcheck: right slopes pass, with one input and several, of any shape") {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 5}, Shape{2, 1, 3, 2}, Shape{3, 0}}) {
    CAPTURE(to_string(shape));
    const auto x = random_tensor(shape, 1);
    CHECK(gradcheck(each([](double v) { return std::sin(v); }, [](std::size_t, double v) { return std::cos(v); }), {x})
              .worst <= 1e-9);
    CHECK(gradcheck(each([](double v) { return std::exp(v); }, [](std::size_t, double v) { return std::exp(v); }), {x})
              .worst <= 1e-9);
    // five points are exact up to the fourth power; three are 1e-6 off
    CHECK(gradcheck(each([](double v) { return v * v * v * v; }, [](std::size_t, double v) { return 4 * v * v * v; }),
                    {x})
              .worst <= 1e-9);
  }
  CHECK(gradcheck(matmul_op(1), {random_tensor({3, 5}, 1), random_tensor({5, 2}, 2)}).worst <= 1e-9);
  // an input that the result does not depend on
  CHECK(gradcheck(each(square, [](std::size_t, double v) { return 2 * v; }),
                  {random_tensor({3}, 1), random_tensor({2}, 2)})
            .worst <= 1e-9);
}

TEST_CASE("gradcheck: slopes that are a little too large or small everywhere are found out, and by how much") {
  for (const double factor : {0.0, 0.5, 0.999, 1.001, 2.0, -1.0}) {
    CAPTURE(factor);
    const double want = std::abs(factor - 1) / (std::max)(std::abs(factor), 1.0);
    const auto report =
        gradcheck(each(square, [=](std::size_t, double v) { return 2 * factor * v; }), {random_tensor({3, 2}, 1)});
    CHECK(report.worst == doctest::Approx(want).epsilon(1e-6));
    CHECK(report.analytic == doctest::Approx(factor * report.numeric).epsilon(1e-6));
    CHECK(report.input == 0);
  }
}

TEST_CASE("gradcheck: one wrong element is found at its place, whichever it is") {
  for (std::size_t wrong = 0; wrong < 6; ++wrong) {
    CAPTURE(wrong);
    const auto x = random_tensor({2, 3}, 7);
    const auto report =
        gradcheck(each(square, [=](std::size_t i, double v) { return i == wrong ? 2.02 * v : 2 * v; }), {x});
    CHECK(report.worst > 0.009);
    CHECK(report.element == wrong);
    CHECK(report.numeric / (2 * x[wrong]) >= 0.5);  // the weight of an element is between 0.5 and 1.5
    CHECK(report.numeric / (2 * x[wrong]) < 1.5);
    CHECK(report.analytic == doctest::Approx(1.01 * report.numeric).epsilon(1e-9));
  }
  const auto report = gradcheck(matmul_op(1.001), {random_tensor({3, 5}, 1), random_tensor({5, 2}, 2)});
  CHECK(report.worst == doctest::Approx(0.001 / 1.001).epsilon(1e-5));
  CHECK(report.input == 1);
}

TEST_CASE("gradcheck: slopes that went to the wrong element are found although their sum is right, with any seed") {
  const auto shifted = [](auto& tape, Vars in) {
    const Var<double> x = in[0];
    return tape.record(Tensor<double>(x.value()), [x](const Tensor<double>& dy) {
      for (std::size_t i = 0; i < dy.size(); ++i) x.grad()[(i + 1) % dy.size()] += dy[i];
    });
  };
  const auto x = random_tensor({5}, 1);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) CHECK(gradcheck(shifted, {x}, seed).worst > 0.01);
  CHECK(gradcheck(shifted, {x}, 1).numeric != gradcheck(shifted, {x}, 2).numeric);
  CHECK(gradcheck(shifted, {x}, 1).numeric == gradcheck(shifted, {x}, 1).numeric);
}

TEST_CASE("gradcheck: differences below the floor do not count, those above it do") {
  const auto none = [](std::size_t, double) { return 0.0; };
  const std::vector<Tensor<double>> x{random_tensor({1}, 1)};
  CHECK(gradcheck(each([](double v) { return 5e-10 * v; }, none), x).worst == 0);
  CHECK(gradcheck(each([](double v) { return 1e-8 * v; }, none), x).worst == 1);
}

TEST_CASE("gradcheck: a slope that is no number is the worst there is, wherever it stands") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (std::size_t wrong = 0; wrong < 4; ++wrong) {  // before right ones, behind them, and beside wrong ones
      const auto x = random_tensor({4}, 1);
      const auto right =
          gradcheck(each(square, [=](std::size_t i, double v) { return i == wrong ? bad : 2 * v; }), {x});
      CHECK_FALSE(right.worst <= 1e6);
      CHECK(right.element == wrong);
      const auto others = gradcheck(each(square, [=](std::size_t i, double v) { return i == wrong ? bad : v; }), {x});
      CHECK_FALSE(others.worst <= 1e6);
      CHECK(others.element == wrong);
    }
  }
}
