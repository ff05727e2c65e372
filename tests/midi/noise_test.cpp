#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

#include <midigpt/midi/noise.hpp>

using namespace midigpt;

TEST_CASE("noise: the curve is 0 at every whole position, continuous between, and bounded") {
  for (const Fade fade : {Fade::cubic, Fade::quintic}) {
    const GradientNoise noise(7, 3, fade);
    int wrong = 0;
    std::int32_t low = 0, high = 0, before = 0;
    for (std::int64_t p = -64 * 65536; p <= 64 * 65536; p += 64) {
      const std::int32_t v = noise.at(p);
      if ((p & 0xFFFF) == 0 && v != 0) ++wrong;
      if (std::abs(v - before) > 3 * 64) ++wrong;  // a slope above 3 would be a step
      before = v;
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    CHECK(wrong == 0);
    CHECK(low >= -32768);
    CHECK(high <= 32768);
    CHECK(low < -15000);
    CHECK(high > 15000);
  }
}

TEST_CASE("noise: the fixed-point value is the textbook formula to within rounding") {
  const GradientNoise noise(11, 0, Fade::quintic);
  const auto gradient = [&](std::int64_t cell) {
    return static_cast<double>(static_cast<std::int64_t>(Rng(11, 0).at(static_cast<std::uint64_t>(cell)) >> 47) -
                               65536) /
           65536;
  };
  double worst = 0;
  for (std::int64_t p = -300000; p < 300000; p += 137) {
    const double x = static_cast<double>(p) / 65536, t = x - std::floor(x);
    const auto cell = static_cast<std::int64_t>(std::floor(x));
    const double fade = t * t * t * (t * (6 * t - 15) + 10);
    const double want = (1 - fade) * gradient(cell) * t + fade * gradient(cell + 1) * (t - 1);
    worst = std::fmax(worst, std::fabs(want - noise.at(p) / 65536.0));
  }
  CHECK(worst < 2e-4);
}

TEST_CASE("noise: octaves add at half the amplitude and twice the frequency") {
  const GradientNoise noise(5);
  for (const std::int64_t p : {std::int64_t{12345}, std::int64_t{-777}, std::int64_t{1} << 40}) {
    CHECK(noise.fractal(p, 1) == noise.at(p));
    CHECK(noise.fractal(p, 3) == noise.at(p) + (noise.at(2 * p) >> 1) + (noise.at(4 * p) >> 2));
  }
}
