// midi/noise.hpp - 1-D gradient noise (Perlin 1985, 2002) in fixed point: contours and densities for generated music.
//   Integers only, so a seed gives the same curve on every platform, whatever the compiler does to floating point.
#pragma once

#include <cstdint>

#include <midigpt/core/rng.hpp>

namespace midigpt {
inline namespace v0 {

/// How a value moves between two lattice points: 3t^2 - 2t^3 (Perlin 1985) or 6t^5 - 15t^4 + 10t^3 (Perlin 2002).
enum class Fade : std::uint8_t { cubic, quintic };

/// A smooth random curve, 0 at every whole position. Position and value are Q16: 65536 is 1.0. Immutable.
class GradientNoise {
 public:
  explicit constexpr GradientNoise(std::uint64_t seed, std::uint64_t stream = 0, Fade fade = Fade::quintic) noexcept
      : gradients_(seed, stream), fade_(fade) {}

  /// One octave, |value| <= 0.5 (32768).
  [[nodiscard]] constexpr std::int32_t at(std::int64_t position) const noexcept {
    const std::int64_t cell = position >> 16;
    const std::int64_t t = position & 0xFFFF;
    const std::int64_t left = gradient(cell) * t >> 16;
    const std::int64_t right = gradient(cell + 1) * (t - 0x10000) >> 16;
    return static_cast<std::int32_t>(left + ((right - left) * fade(t) >> 16));
  }

  /// Fractal sum at(p) + at(2p) / 2 + at(4p) / 4 ..., |value| < 1 (65536). Requires: 1 <= octaves <= 16.
  [[nodiscard]] constexpr std::int32_t fractal(std::int64_t position, int octaves) const noexcept {
    std::int32_t sum = 0;
    for (int i = 0; i < octaves; ++i) sum += at(position << i) >> i;
    return sum;
  }

 private:
  [[nodiscard]] constexpr std::int64_t gradient(std::int64_t cell) const noexcept {
    return static_cast<std::int64_t>(gradients_.at(static_cast<std::uint64_t>(cell)) >> 47) - 0x10000;  // -1 .. 1
  }

  [[nodiscard]] constexpr std::int64_t fade(std::int64_t t) const noexcept {
    const std::int64_t t2 = t * t >> 16;
    if (fade_ == Fade::cubic) return t2 * (0x30000 - 2 * t) >> 16;
    const std::int64_t inner = (t * (6 * t - 0xF0000) >> 16) + 0xA0000;
    return (t2 * t >> 16) * inner >> 16;
  }

  Rng gradients_;
  Fade fade_;
};

}  // namespace v0
}  // namespace midigpt
