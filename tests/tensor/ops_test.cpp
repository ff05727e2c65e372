#include <midigpt/tensor/ops.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include <midigpt/tensor/gradcheck.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

std::vector<std::int32_t> random_ids(std::size_t n, int low, int high, std::uint64_t seed) {
  std::vector<std::int32_t> ids(n);
  Rng rng(seed, 4);
  for (auto& id : ids) id = rng.between(low, high);
  return ids;
}

using Vars = std::span<const Var<double>>;

/// 20 shapes (a,b,c), 1 and odd numbers among them; no two have the same a and b.
constexpr std::size_t k_shapes[20][3] = {{1, 1, 1}, {5, 1, 3},  {1, 3, 1},  {3, 1, 1}, {2, 3, 5}, {5, 3, 2}, {1, 7, 2},
                                         {7, 1, 3}, {2, 2, 2},  {3, 5, 7},  {4, 6, 3}, {1, 9, 1}, {2, 1, 9}, {9, 2, 1},
                                         {3, 3, 4}, {1, 2, 11}, {2, 13, 1}, {6, 4, 2}, {3, 8, 1}, {2, 17, 2}};

template <class Make>
void check_all(const char* name, Make make) {
  for (std::size_t i = 0; i < 20; ++i) {
    const auto [a, b, c] = k_shapes[i];
    CAPTURE(name);
    CAPTURE(i);
    const GradcheckReport report = make(a, b, c, i + 1);
    CAPTURE(report.input);
    CAPTURE(report.element);
    CAPTURE(report.analytic);
    CAPTURE(report.numeric);
    CHECK(report.worst <= 1e-6);
  }
}

}  // namespace

TEST_CASE("ops: every backward function agrees with finite differences at 20 shapes") {
  check_all("add", [](std::size_t a, std::size_t b, std::size_t, std::uint64_t s) {
    return gradcheck([](auto&, Vars in) { return ops::add(in[0], in[1]); },
                     {random_tensor({a, b}, s), random_tensor({a, b}, s + 50)});
  });
  check_all("scale", [](std::size_t a, std::size_t b, std::size_t, std::uint64_t s) {
    return gradcheck([](auto&, Vars in) { return ops::scale(in[0], -2.5); }, {random_tensor({a, b}, s)});
  });
  check_all("embedding", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    const auto ids = random_ids(c, 0, static_cast<int>(a) - 1, s);
    return gradcheck([&](auto&, Vars in) { return ops::embedding(in[0], ids); }, {random_tensor({a, b}, s)});
  });
  check_all("linear", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    return gradcheck([](auto&, Vars in) { return ops::linear(in[0], in[1], in[2]); },
                     {random_tensor({a, b}, s), random_tensor({b, c}, s + 50), random_tensor({c}, s + 90)});
  });
  check_all("gelu", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    return gradcheck([](auto&, Vars in) { return ops::gelu(in[0]); }, {random_tensor({a, b, c}, s)});
  });
  check_all("linear_gelu", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    return gradcheck([](auto&, Vars in) { return ops::linear_gelu(in[0], in[1], in[2]); },
                     {random_tensor({a, b}, s), random_tensor({b, c}, s + 50), random_tensor({c}, s + 90)});
  });
  check_all("layer_norm", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    auto x = random_tensor({a, c, b}, s);
    for (double& v : x.span()) v *= 3;  // rows of two nearly equal numbers are too curved for differences
    return gradcheck([](auto&, Vars in) { return ops::layer_norm(in[0], in[1], in[2]); },
                     {x, random_tensor({b}, s + 50), random_tensor({b}, s + 90)});
  });
  check_all("causal_attention", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    const std::size_t n_head = c % 2 == 0 ? 2u : 1u;
    return gradcheck([&](auto&, Vars in) { return ops::causal_attention(in[0], n_head); },
                     {random_tensor({(a + 1) / 2, b, 3 * c}, s)});
  });
  check_all("dropout", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    return gradcheck([&](auto&, Vars in) { return ops::dropout(in[0], 0.3, static_cast<std::uint32_t>(s)); },
                     {random_tensor({a, b, c}, s)});
  });
  check_all("cross_entropy", [](std::size_t a, std::size_t b, std::size_t, std::uint64_t s) {
    auto targets = random_ids(a, -1, static_cast<int>(b), s);
    targets[a / 2] = static_cast<std::int32_t>(b);  // one at least, of two classes at least
    return gradcheck([&](auto&, Vars in) { return ops::cross_entropy(in[0], targets); },
                     {random_tensor({a, b + 1}, s)});
  });
  check_all("linear_cross_entropy", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    auto targets = random_ids(a, -1, static_cast<int>(b), s);
    targets[a / 2] = static_cast<std::int32_t>(b);
    return gradcheck([&](auto&, Vars in) { return ops::linear_cross_entropy(in[0], in[1], in[2], targets); },
                     {random_tensor({a, c}, s), random_tensor({c, b + 1}, s + 50), random_tensor({b + 1}, s + 90)});
  });
  check_all("mean_squared_error", [](std::size_t a, std::size_t b, std::size_t, std::uint64_t s) {
    const auto y = random_tensor({a, b}, s + 50);
    return gradcheck([&](auto&, Vars in) { return ops::mean_squared_error(in[0], y.span()); },
                     {random_tensor({a, b}, s)});
  });
  check_all("mean_squared_log_error", [](std::size_t a, std::size_t b, std::size_t, std::uint64_t s) {
    const auto y = random_tensor({a, b}, s + 50);
    auto x = random_tensor({a, b}, s);
    for (double& v : x.span()) v = v < 0 ? v - 0.1 : v + 0.1;  // away from the corner at 0
    return gradcheck([&](auto&, Vars in) { return ops::mean_squared_log_error(in[0], y.span()); }, {x});
  });
  check_all("lstm", [](std::size_t a, std::size_t b, std::size_t c, std::uint64_t s) {
    const std::size_t H = 1 + s % 3;
    return gradcheck([](auto&, Vars in) { return ops::lstm(in[0], in[1], in[2], in[3]); },
                     {random_tensor({a, b, c}, s), random_tensor({c, 4 * H}, s + 50), random_tensor({H, 4 * H}, s + 70),
                      random_tensor({4 * H}, s + 90)});
  });
}

TEST_CASE("ops: the loss in chunks of rows is that of the whole logits, whatever the loss is used for") {
  constexpr std::size_t M = 130, C = 5, V = 1500;  // three chunks: 56, 56, 18 rows
  auto targets = random_ids(M, -1, V - 1, 3);
  for (const std::size_t row : {std::size_t{0}, std::size_t{55}, std::size_t{56}, M - 1}) targets[row] = V - 1;
  const auto x = random_tensor({M, C}, 1), w = random_tensor({C, V}, 2), b = random_tensor({V}, 3);
  std::vector<Tensor<double>> slopes;
  double losses[2];
  for (const bool chunks : {false, true}) {
    Tape<double> tape;
    const Var<double> in = tape.input(x), weights = tape.input(w), bias = tape.input(b);
    const Var<double> loss = chunks ? ops::linear_cross_entropy(in, weights, bias, targets)
                                    : ops::cross_entropy(ops::linear(in, weights, bias), targets);
    losses[chunks] = loss.value()[0];
    tape.backward(ops::scale(loss, -3.0));
    for (const Var<double>& v : {in, weights, bias}) slopes.push_back(v.grad());
  }
  CHECK(losses[1] == doctest::Approx(losses[0]).epsilon(1e-12));
  for (std::size_t i = 0; i < 3; ++i) {
    Worst worst;
    for (std::size_t k = 0; k < slopes[i].size(); ++k) worst(std::abs(slopes[i][k] - slopes[i + 3][k]));
    CHECK(worst.error <= 1e-12);
  }
}

TEST_CASE("ops: dropout keeps the mean, follows its key and drops the share asked for") {
  Tape<double> tape;
  Tensor<double> ones(Shape{100, 100});
  ones.fill(1);
  const Var<double> x = tape.input(ones);
  const auto y = ops::dropout(x, 0.25, 7u), again = ops::dropout(x, 0.25, 7u), other = ops::dropout(x, 0.25, 8u);
  CHECK(y.value() == again.value());
  CHECK(!(y.value() == other.value()));
  double sum = 0;
  std::size_t zeros = 0;
  for (const double v : y.value().span()) {
    sum += v;
    zeros += v == 0 ? 1 : 0;
  }
  CHECK(sum / 10000 == doctest::Approx(1).epsilon(0.02));
  CHECK(static_cast<double>(zeros) / 10000 == doctest::Approx(0.25).epsilon(0.06));
}

TEST_CASE("ops: float and double drop the same elements, on every instruction set") {
  Tensor<double> d(Shape{333});
  d.fill(1);
  detail::simd_call<detail::kernels::Dropout, double>(Isa::portable, d.size(), 99u, 5u, 0.4, d.data());
  each_isa([&](Isa isa) {
    Tensor<float> f(Shape{333});
    f.fill(1);
    detail::simd_call<detail::kernels::Dropout, float>(isa, f.size(), 99u, 5u, 0.4f, f.data());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < f.size(); ++i) wrong += (f[i] == 0) != (d[i] == 0) ? 1u : 0u;
    CHECK(wrong == 0);
  });
}

TEST_CASE("ops: shapes that do not match say both") {
  Tape<double> tape;
  const auto x = tape.input(Tensor<double>(Shape{2, 3})), w = tape.input(Tensor<double>(Shape{4, 5})),
             b = tape.input(Tensor<double>(Shape{5}));
  CHECK_THROWS_WITH_AS(ops::linear(x, w, b), "linear: (2,3) x (4,5)", ShapeError);
  CHECK_THROWS_WITH_AS(ops::add(x, w), "add: (2,3) x (4,5)", ShapeError);
  CHECK_THROWS_AS(ops::cross_entropy(x, std::vector<std::int32_t>{0, 3}), ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear_gelu(x, w, b), "linear_gelu: (2,3) x (4,5)", ShapeError);
  const auto v = tape.input(Tensor<double>(Shape{3, 5}));
  CHECK_THROWS_WITH_AS(ops::linear_cross_entropy(x, w, b, std::vector<std::int32_t>{0, 1}),
                       "linear_cross_entropy: (2,3) x (4,5)", ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear_cross_entropy(x, v, b, std::vector<std::int32_t>{0}),
                       "linear_cross_entropy: (2,5) with 1 targets", ShapeError);
  CHECK_THROWS_WITH_AS(ops::linear_cross_entropy(x, v, b, std::vector<std::int32_t>{0, 5}),
                       "linear_cross_entropy: target 5 outside 5", ShapeError);
  CHECK_THROWS_AS(ops::embedding(x, std::vector<std::int32_t>{2}), ShapeError);
}
