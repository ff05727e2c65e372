// Scores that no musician writes: any field within its type, times up to 2^59 ticks. Vectors are by tick, as Score says.
#pragma once

#include <algorithm>
#include <cstdint>

#include <midigpt/core/rng.hpp>
#include <midigpt/midi/score.hpp>

inline midigpt::Score odd_score(std::uint64_t seed) {
  using namespace midigpt;
  Rng rng(seed);
  const auto byte = [&] { return static_cast<std::uint8_t>(rng.below(256)); };
  const std::uint64_t reach = std::uint64_t{1} << rng.below(60);
  const auto time = [&] { return static_cast<std::int64_t>(rng.next() % reach); };
  Score s;
  s.division.tpq = static_cast<std::uint16_t>(rng.below(3) == 0 ? 0 : rng.below(2000));
  if (rng.below(10) == 0) s.division = {.tpq = 0, .smpte_fps = 25, .ticks_per_frame = byte()};
  for (std::uint32_t n = rng.below(4); n > 0; --n) s.tempos.push_back({time(), rng.below(1u << 24)});
  for (std::uint32_t n = rng.below(4); n > 0; --n) {
    s.time_signatures.push_back({.tick = time(), .numerator = byte(), .denominator_log2 = byte()});
  }
  s.tracks.resize(rng.below(4));
  for (Track& t : s.tracks) {
    for (std::uint32_t n = rng.below(30); n > 0; --n) {
      t.notes.push_back({.tick = time(), .duration = time(), .channel = byte(), .pitch = byte(), .velocity = byte()});
    }
    for (std::uint32_t n = rng.below(30); n > 0; --n) t.events.push_back({time(), byte(), byte(), byte()});
    for (std::uint32_t n = rng.below(30); n > 0; --n) t.name.push_back(static_cast<char>(byte()));
    std::ranges::sort(t.notes, {}, &Note::tick);
  }
  std::ranges::sort(s.tempos, {}, &Tempo::tick);
  std::ranges::sort(s.time_signatures, {}, &TimeSignature::tick);
  return s;
}
