#include <midigpt/tensor/gemm.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <midigpt/core/rng.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

template <class T>
std::vector<T> random_numbers(std::size_t n, Rng& rng) {
  std::vector<T> x(n);
  for (T& v : x) v = static_cast<T>(rng.uniform() - 0.5);
  return x;
}

/// The largest difference from Eigen over random shapes, transpositions, biases and partial factors.
template <class T>
double worst_difference(Isa isa, std::uint64_t seeds) {
  Worst worst;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    Rng rng(seed, 1);
    const std::size_t M = 1 + rng.below(60), N = seed % 10 == 1 ? 380 + rng.below(500) : 1 + rng.below(100),
                      K = seed % 10 == 0 || seed % 30 == 1 ? 380 + rng.below(700) : 1 + rng.below(70);
    const bool ta = rng.chance(0.5), tb = rng.chance(0.5);
    const auto a = random_numbers<T>(M * K, rng), b = random_numbers<T>(K * N, rng), bias = random_numbers<T>(N, rng);
    auto c = random_numbers<T>(M * N, rng), want = c;
    ProductArgs<T> p{.a = a.data(),
                     .lda = ta ? M : K,
                     .transposed = ta,
                     .M = M,
                     .c = c.data(),
                     .ldc = N,
                     .accumulate = rng.chance(0.5),
                     .bias = rng.chance(0.5) ? bias.data() : nullptr};
    Rhs<T> right{.data = b.data(), .ld = tb ? K : N, .transposed = tb, .K = K, .N = N};
    detail::AlignedBuffer<T> panels(PackedProduct::panel_size<T>(isa, K, N));
    if (tb || rng.chance(0.5)) PackedProduct::pack(isa, right, panels.data());  // else it is read where it lies
    const std::size_t first = rng.below(static_cast<std::uint32_t>(K)), column = N > 32 ? 32 : 0;
    Rhs<T> part = right;
    if (rng.chance(0.5)) {  // a block of rows and columns of B
      part = right.rows(first, K - first).columns(column, N - column);
      if (ta)
        p.a += first * M;
      else
        p.a += first;
    }
    PackedProduct::multiply(isa, p, part);
    p.c = want.data();
    EigenProduct::multiply(isa, p, part);
    for (std::size_t i = 0; i < c.size(); ++i) worst(std::abs(static_cast<double>(c[i] - want[i])));
  }
  return worst.error;
}

}  // namespace

TEST_CASE("gemm: the packed kernel equals Eigen for every instruction set this processor has") {
  each_isa([](Isa isa) { CHECK(worst_difference<float>(isa, 300) <= 1e-4); });
  CHECK(worst_difference<double>(Isa::portable, 300) <= 1e-12);
}

TEST_CASE("gemm: a row of the result does not depend on the rows beside it") {
  Rng rng(1);
  constexpr std::size_t M = 61, K = 401, N = 77;
  const auto a = random_numbers<float>(M * K, rng), b = random_numbers<float>(K * N, rng);
  each_isa([&](Isa isa) {
    Rhs<float> right{.data = b.data(), .ld = N, .transposed = false, .K = K, .N = N};
    detail::AlignedBuffer<float> panels(PackedProduct::panel_size<float>(isa, K, N));
    PackedProduct::pack(isa, right, panels.data());
    std::vector<float> all(M * N), one(N);
    PackedProduct::multiply(isa, {.a = a.data(), .lda = K, .M = M, .c = all.data(), .ldc = N}, right);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < M; ++i) {
      PackedProduct::multiply(isa, {.a = a.data() + i * K, .lda = K, .M = 1, .c = one.data(), .ldc = N}, right);
      for (std::size_t j = 0; j < N; ++j) wrong += one[j] != all[i * N + j] ? 1u : 0u;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("gemm: matmul refuses shapes that do not match and prints both") {
  CHECK_THROWS_WITH_AS((void)matmul(Tensor<float>(Shape{8, 32, 48}), Tensor<float>(Shape{64, 96})),
                       "matmul: (8,32,48) x (64,96)", ShapeError);
  Tensor<float> a(Shape{2, 3}), b(Shape{3, 1});
  a.fill(2);
  b.fill(3);
  CHECK(matmul(a, b)[1] == 18.0f);
  CHECK((matmul<float, EigenProduct>(a, b) == matmul(a, b)));
}
