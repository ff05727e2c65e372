// midi/tempo_map.hpp - ticks to seconds and back, exactly: time is summed in integers, and rounded once at the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

/// When each tick of a Score sounds. Before the first tempo 120 quarters a minute hold; SMPTE divisions know no tempo.
/// Copies what it needs. Times past 292,000 years stay there.
class TempoMap {
 public:
  explicit TempoMap(const Score& score) : TempoMap(score.division, score.tempos) {}

  /// `tempos` by tick.
  TempoMap(const Division& division, const std::vector<Tempo>& tempos) : smpte_(division.is_smpte()) {
    if (smpte_) {
      // 29 means 30000/1001 frames a second; a tick is 1001 / (30000 * ticks_per_frame) seconds
      const bool drop = division.smpte_fps == 29;
      const std::uint32_t fps = drop ? 30u : division.smpte_fps;
      ticks_per_unit_ = fps * (std::max)(division.ticks_per_frame, std::uint8_t{1});
      spans_.push_back({0, drop ? 1'001'000u : 1'000'000u, 0, 0});
      return;
    }
    ticks_per_unit_ = (std::max)(division.tpq, std::uint16_t{1});
    spans_.push_back({0, 500'000, 0, 0});
    for (const Tempo& tempo : tempos) {
      Span& last = spans_.back();
      if (tempo.tick <= last.tick) {
        last.us_per_unit = tempo.us_per_quarter;
      } else {
        const Time start = time_at(last, tempo.tick);
        spans_.push_back({tempo.tick, tempo.us_per_quarter, start.us, start.rest});
      }
    }
  }

  /// The instant of `tick` in seconds, correct to the last bits of a double. Ticks before 0 sound at 0.
  [[nodiscard]] double seconds(std::int64_t tick) const noexcept {
    const Time t = time_at(span_of_tick(tick), tick);
    return (static_cast<double>(t.us) + static_cast<double>(t.rest) / ticks_per_unit_) / 1e6;
  }

  /// The tick nearest to an instant: tick(seconds(t)) == t for every t >= 0 up to 2^50.
  [[nodiscard]] std::int64_t tick(double seconds) const noexcept {
    if (!(seconds > 0)) return 0;
    const double us = seconds * 1e6;
    auto after = std::upper_bound(spans_.begin() + 1, spans_.end(), us, [](double x, const Span& s) { return x < static_cast<double>(s.us); });
    const Span& span = *(after - 1);
    const double start = static_cast<double>(span.us) + static_cast<double>(span.rest) / ticks_per_unit_;
    const double ticks = (us - start) * ticks_per_unit_ / (std::max)(span.us_per_unit, 1u);
    constexpr double most = 0x1p62;
    return span.tick + static_cast<std::int64_t>(std::floor((std::min)((std::max)(ticks, 0.0), most) + 0.5));
  }

  /// The tempo that holds at `tick`, in quarters a minute; for SMPTE divisions 120.
  [[nodiscard]] double quarters_per_minute(std::int64_t tick) const noexcept {
    return smpte_ ? 120.0 : 60e6 / (std::max)(span_of_tick(tick).us_per_unit, 1u);
  }

 private:
  /// `us` microseconds and `rest` / ticks_per_unit_ of one.
  struct Time {
    std::int64_t us;
    std::uint32_t rest;
  };
  struct Span {
    std::int64_t tick;
    std::uint32_t us_per_unit;  // a unit is a quarter note, or a second of SMPTE time
    std::int64_t us;            // when it begins
    std::uint32_t rest;
  };

  [[nodiscard]] const Span& span_of_tick(std::int64_t tick) const noexcept {
    const auto after = std::upper_bound(spans_.begin() + 1, spans_.end(), tick, [](std::int64_t t, const Span& s) { return t < s.tick; });
    return *(after - 1);
  }

  [[nodiscard]] Time time_at(const Span& span, std::int64_t tick) const noexcept {
    const std::int64_t ticks = (std::max)(tick - span.tick, std::int64_t{0});
    const std::int64_t units = ticks / ticks_per_unit_;
    constexpr std::int64_t most = (std::numeric_limits<std::int64_t>::max)() / 2;
    const std::int64_t us_per_unit = span.us_per_unit;
    if (us_per_unit != 0 && units > (most - span.us) / us_per_unit) return {most, 0};
    const std::int64_t rest = span.rest + ticks % ticks_per_unit_ * us_per_unit;  // < 2^16 + 2^16 * 2^24
    return {span.us + units * us_per_unit + rest / ticks_per_unit_, static_cast<std::uint32_t>(rest % ticks_per_unit_)};
  }

  bool smpte_;
  std::uint32_t ticks_per_unit_ = 1;
  std::vector<Span> spans_;
};

/// The tick at which the last track ends (its end-of-track event or its last note).
[[nodiscard]] inline std::int64_t duration_ticks(const Score& score) noexcept {
  std::int64_t last = 0;
  for (const Track& t : score.tracks) {
    last = (std::max)(last, t.end_tick);
    for (const Note& n : t.notes) last = (std::max)(last, n.tick + n.duration);
  }
  return last;
}

/// The tick at which the last note ends; 0 without notes.
[[nodiscard]] inline std::int64_t last_note_tick(const Score& score) noexcept {
  std::int64_t last = 0;
  for (const Track& t : score.tracks) {
    for (const Note& n : t.notes) last = (std::max)(last, n.tick + n.duration);
  }
  return last;
}

[[nodiscard]] inline double duration_seconds(const Score& score) { return TempoMap(score).seconds(duration_ticks(score)); }

}  // namespace v0
}  // namespace midigpt
