// core/rng.hpp - a counter-based random generator: value i of stream s of seed k is a pure function of (k, s, i).
//   Same numbers on every platform and compiler: integers only until the last step, no libm, no std::*_distribution.
//   Mixing: the splitmix64 finaliser (Steele, Lea, Flood 2014).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace midigpt {
inline namespace v0 {

[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t z) noexcept {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

class Rng {
 public:
  /// Streams of one seed are independent: use one per purpose (initialisation, shuffling, sampling...).
  explicit constexpr Rng(std::uint64_t seed = 0, std::uint64_t stream = 0) noexcept
      : key_(mix64(seed ^ mix64(stream ^ 0x6D696469u))) {}

  /// The whole state beside the key: save it, seek to it, and the sequence goes on where it was.
  [[nodiscard]] constexpr std::uint64_t position() const noexcept { return counter_; }
  constexpr void seek(std::uint64_t position) noexcept { counter_ = position; }

  /// Value `index` of this stream, without moving.
  [[nodiscard]] constexpr std::uint64_t at(std::uint64_t index) const noexcept { return mix64(key_ + mix64(index)); }

  constexpr std::uint64_t next() noexcept { return at(counter_++); }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Uniform in [0, n), exact (multiply and reject; Lemire 2019). Requires: n > 0.
  constexpr std::uint32_t below(std::uint32_t n) noexcept {
    for (;;) {
      const std::uint64_t product = (next() >> 32) * n;
      if (static_cast<std::uint32_t>(product) >= (0u - n) % n) return static_cast<std::uint32_t>(product >> 32);
    }
  }

  /// Uniform in [low, high]. Requires: low <= high.
  constexpr int between(int low, int high) noexcept {
    return low + static_cast<int>(below(static_cast<std::uint32_t>(high - low) + 1u));
  }

  /// True with probability p.
  constexpr bool chance(double p) noexcept { return uniform() < p; }

  /// Mean 0, variance 1: the sum of 16 uniform 16-bit integers (Irwin-Hall). Exact in integers, hence the same bits
  /// everywhere; the tails end at 6.9 standard deviations, the excess kurtosis is -0.075.
  constexpr double normal() noexcept {
    std::int64_t sum = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t r = next();
      sum += static_cast<std::int64_t>((r & 0xFFFF) + (r >> 16 & 0xFFFF) + (r >> 32 & 0xFFFF) + (r >> 48));
    }
    // 16 uniforms on 0..65535: mean 16 * 65535 / 2, variance 16 * (65536^2 - 1) / 12
    constexpr double inverse_deviation = 1.0 / 75674.49;
    return static_cast<double>(sum - 8 * 65535) * inverse_deviation;
  }

  /// Fisher-Yates. Requires: fewer than 2^32 elements.
  template <class T>
  constexpr void shuffle(std::span<T> items) noexcept {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
  }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace v0
}  // namespace midigpt
