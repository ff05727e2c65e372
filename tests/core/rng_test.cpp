#include <midigpt/core/rng.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <doctest/doctest.h>

using namespace midigpt;

TEST_CASE("rng: the mixer is splitmix64 (first outputs of seed 1234567, as published with it)") {
  // Sebastiano Vigna's splitmix64.c, seed 1234567
  constexpr std::array<std::uint64_t, 5> want = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                                 4593380528125082431u, 16408922859458223821u};
  std::uint64_t state = 1234567;
  for (const std::uint64_t w : want) {
    CHECK(mix64(state) == w);
    state += 0x9E3779B97F4A7C15u;
  }
}

TEST_CASE("rng: value i is a pure function of seed, stream and i") {
  Rng a(42, 1), b(42, 1), other_stream(42, 2), other_seed(43, 1);
  for (int i = 0; i < 10; ++i) (void)a.next();
  b.seek(10);
  CHECK(a.position() == b.position());
  CHECK(a.next() == b.next());
  CHECK(Rng(42, 1).at(3) != other_stream.at(3));
  CHECK(Rng(42, 1).at(3) != other_seed.at(3));
  static_assert(Rng(1).at(0) == Rng(1).at(0));
}

TEST_CASE("rng: uniform, below and normal have the moments they promise") {
  Rng rng(7);
  constexpr int n = 200000;
  double sum = 0, squares = 0, u_sum = 0;
  double low = 1, high = 0;
  std::array<int, 10> bins{};
  for (int i = 0; i < n; ++i) {
    const double u = rng.uniform();
    low = std::min(low, u);
    high = std::max(high, u);
    u_sum += u;
    const double x = rng.normal();
    sum += x;
    squares += x * x;
    ++bins[rng.below(10)];
  }
  CHECK(low >= 0.0);
  CHECK(high < 1.0);
  CHECK(std::abs(u_sum / n - 0.5) < 0.003);
  CHECK(std::abs(sum / n) < 0.01);
  CHECK(std::abs(squares / n - 1.0) < 0.015);
  for (const int count : bins) CHECK(std::abs(count - n / 10) < 700);  // 5 standard deviations
}

TEST_CASE("rng: shuffle is a permutation, and the same one for the same seed") {
  std::vector<int> a(1000), b(1000);
  std::iota(a.begin(), a.end(), 0);
  b = a;
  Rng(5).shuffle(std::span(a));
  Rng(5).shuffle(std::span(b));
  CHECK(a == b);
  CHECK_FALSE(std::is_sorted(a.begin(), a.end()));
  std::sort(a.begin(), a.end());
  for (int i = 0; i < 1000; ++i) CHECK(a[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("rng: between reaches both ends") {
  Rng rng(3);
  std::array<int, 3> seen{};
  for (int i = 0; i < 100; ++i) ++seen[static_cast<std::size_t>(rng.between(-1, 1) + 1)];
  for (const int s : seen) CHECK(s > 0);
}
