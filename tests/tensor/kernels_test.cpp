#include <midigpt/tensor/kernels.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <midigpt/core/rng.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

struct Exp {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, T* x) {
    detail::simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec v;
          detail::simd::load<S>(v, x + c, n);
          detail::simd::exp<S>(v);
          detail::simd::store<S>(x + c, v, n);
        });
  }
};

}  // namespace

TEST_CASE("kernels: exp is right to 2e-7 over its whole range, 0 far below, finite far above") {
  each_isa([](Isa isa) {
    std::vector<float> x, y;
    for (float v = -87.0f; v < 88.0f; v += 0.0137f) x.push_back(v);
    y = x;
    detail::simd_call<Exp, float>(isa, y.size(), y.data());
    Worst worst;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst(std::abs(static_cast<double>(y[i]) / std::exp(static_cast<double>(x[i])) - 1));
    CHECK(worst.error <= 2e-7);
    std::vector<float> edge{-1000.0f, -std::numeric_limits<float>::infinity(), 1000.0f};
    detail::simd_call<Exp, float>(isa, edge.size(), edge.data());
    CHECK(edge[0] == 0.0f);
    CHECK(edge[1] == 0.0f);
    CHECK(std::isfinite(edge[2]));
  });
}

TEST_CASE("kernels: AdamW follows its formula for 50 steps at sizes around a vector") {
  each_isa([](Isa isa) {
    for (const std::size_t n : {1u, 3u, 16u, 33u}) {
      std::vector<float> x(n, 0.5f), g(n), m(n), v(n);
      std::vector<double> rx(n, 0.5), rm(n), rv(n);
      Rng rng(n);
      for (int t = 1; t <= 50; ++t) {
        for (float& k : g) k = static_cast<float>(rng.normal());
        const AdamwScale<float> scale{.lr = 0.01f,
                                      .weight_decay = 0.1f,
                                      .bias_correction1 = static_cast<float>(1 - std::pow(0.9, t)),
                                      .bias_correction2 = static_cast<float>(1 - std::pow(0.999, t)),
                                      .grad_scale = 0.5f};
        adamw_update<float>(x, g, m, v, scale, isa);
        for (std::size_t i = 0; i < n; ++i) {
          const double k = 0.5 * static_cast<double>(g[i]);
          rm[i] = 0.9 * rm[i] + 0.1 * k;
          rv[i] = 0.999 * rv[i] + 0.001 * k * k;
          rx[i] -= 0.01 * (0.1 * rx[i] +
                           rm[i] / (1 - std::pow(0.9, t)) / (std::sqrt(rv[i] / (1 - std::pow(0.999, t))) + 1e-8));
        }
      }
      for (std::size_t i = 0; i < n; ++i) CHECK(static_cast<double>(x[i]) == doctest::Approx(rx[i]).epsilon(1e-4));
    }
  });
}

TEST_CASE("kernels: one infinite number or NaN is found at every place") {
  each_isa([](Isa isa) {
    for (std::size_t n = 1; n < 70; ++n) {
      std::vector<float> x(n, 3e38f);
      CHECK(all_finite<float>(x, isa));
      for (std::size_t i = 0; i < n; ++i) {
        for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()}) {
          std::vector<float> y = x;
          y[i] = bad;
          CHECK_FALSE(all_finite<float>(y, isa));
        }
      }
    }
  });
}

TEST_CASE("kernels: rows by number are added with their factors, at widths around four vectors, and nothing else is touched") {
  constexpr std::size_t k_rows = 9;
  each_isa([](Isa isa) {
    Worst worst;
    std::size_t touched = 0;
    for (const std::size_t C : {1u, 3u, 16u, 17u, 48u, 63u, 64u, 65u, 128u, 200u}) {
      for (const std::size_t n : {0u, 1u, 2u, 13u}) {
        const Tensor<double> numbers = random_tensor(Shape{k_rows + 1, C}, C + n);
        const std::vector<float> x(numbers.span().begin(), numbers.span().end());
        std::vector<float> y(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(C)), factors(n);
        std::vector<double> want(y.begin(), y.end());
        y.push_back(7.0f);
        std::vector<std::int32_t> rows(n);
        Rng rng(C, n);
        for (std::size_t i = 0; i < n; ++i) {
          rows[i] = rng.between(0, k_rows);  // one may come twice
          factors[i] = static_cast<float>(rng.normal());
          for (std::size_t c = 0; c < C; ++c)
            want[c] += static_cast<double>(factors[i]) * static_cast<double>(x[static_cast<std::size_t>(rows[i]) * C + c]);
        }
        detail::simd_call<detail::kernels::AddRows, float>(isa, C, n, static_cast<const std::int32_t*>(rows.data()),
                                                           static_cast<const float*>(factors.data()), x.data(), y.data());
        for (std::size_t c = 0; c < C; ++c) worst(std::abs(static_cast<double>(y[c]) - want[c]));
        touched += y[C] != 7.0f ? 1u : 0u;
      }
    }
    CHECK(worst.error <= 1e-5);
    CHECK(touched == 0);
  });
}

TEST_CASE("kernels: a sum of squares counts every element once") {
  each_isa([](Isa isa) {
    for (const std::size_t n : {0u, 1u, 17u, 1023u, 1024u, 1025u, 5000u}) {
      CHECK(sum_of_squares<float>(std::vector<float>(n, 2.0f), isa) == 4.0 * static_cast<double>(n));
    }
  });
}
