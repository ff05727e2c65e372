// codec/raw32.hpp - notes as 32-bit integers, one byte a field, for people who want numbers instead of text.
//   bits 31..24 velocity 1..127 | 23..16 step | 15..8 duration | 7 drums | 6..0 pitch
//   Step (from the note before) and duration count grid units, 24 a quarter note. Velocity 0 is no note: `step` units
//   pass. All parts are one stream in order of time; programme, tempo and metre are not said.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <midigpt/codec/grid.hpp>
#include <midigpt/codec/layout.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

/// One word a note; a gap of more than 255 quarters is cut to that and counted.
[[nodiscard]] inline std::vector<std::uint32_t> raw32_words(const Score& score, TextReport* report = nullptr) {
  TextReport unread;
  TextReport& count = report != nullptr ? *report : unread;
  const BeatGrid grid(score.division);
  struct Placed {
    std::int64_t unit;
    std::uint32_t word;  // without the step
  };
  std::vector<Placed> notes;
  notes.reserve(count_notes(score));
  for (const Track& track : score.tracks) {
    for (const Note& n : track.notes) {
      const std::int64_t length = (std::max)(grid.units(n.duration), std::int64_t{1});
      count.onsets_rounded += !grid.exact(n.tick);
      count.durations_rounded += !grid.exact(n.duration) || n.duration == 0;
      count.durations_clamped += length > 255;
      notes.push_back(
          {grid.units(n.tick), std::uint32_t{std::clamp(n.velocity, std::uint8_t{1}, std::uint8_t{127})} << 24 |
                                   static_cast<std::uint32_t>((std::min)(length, std::int64_t{255})) << 8 |
                                   (n.channel == 9 ? 0x80u : 0u) | (n.pitch & 0x7Fu)});
    }
    count.events_dropped += track.events.size() + track.metas.size();
  }
  count.events_dropped += score.tempos.size() + score.time_signatures.size() + score.key_signatures.size();
  merge_sort(notes, [](const Placed& a, const Placed& b) {
    const auto low = [](std::uint32_t w) { return (w & 0xFFu) << 24 | w >> 8; };  // drums, pitch, velocity, length
    return a.unit != b.unit ? a.unit < b.unit : low(a.word) < low(b.word);
  });
  std::vector<std::uint32_t> words;
  words.reserve(notes.size());
  constexpr std::int64_t max_gap = std::int64_t{k_units_per_quarter} * 255;
  std::int64_t before = 0, cut = 0;
  for (const Placed& n : notes) {
    std::int64_t step = n.unit - cut - before;
    if (step > max_gap) {
      ++count.steps_clamped;
      cut += step - max_gap;
      step = max_gap;
    }
    before += step;
    for (; step > 255; step -= 255) {
      ++count.controls;
      words.push_back(255u << 16);
    }
    words.push_back(n.word | static_cast<std::uint32_t>(step) << 16);
  }
  count.notes += notes.size();
  return words;
}

/// A score of one track, drums on channel 9 and the rest on channel 0, 480 ticks a quarter.
[[nodiscard]] inline Score raw32_score(std::span<const std::uint32_t> words, TextReport* report = nullptr) {
  TextReport unread;
  TextReport& count = report != nullptr ? *report : unread;
  Score score;
  score.tempos.push_back({.tick = 0, .us_per_quarter = 500000});
  score.time_signatures.push_back({});
  Track track;
  std::int64_t unit = 0;
  for (const std::uint32_t w : words) {
    unit += w >> 16 & 0xFFu;
    const std::uint32_t velocity = w >> 24;
    if (velocity == 0) {
      ++count.controls;
      continue;
    }
    ++count.notes;
    count.out_of_range += velocity > 127;
    track.notes.push_back({.tick = unit * k_ticks_per_unit,
                           .duration = (std::max)(w >> 8 & 0xFFu, 1u) * k_ticks_per_unit,
                           .channel = static_cast<std::uint8_t>((w & 0x80u) != 0 ? 9 : 0),
                           .pitch = static_cast<std::uint8_t>(w & 0x7Fu),
                           .velocity = static_cast<std::uint8_t>((std::min)(velocity, 127u))});
    track.end_tick = (std::max)(track.end_tick, track.notes.back().tick + track.notes.back().duration);
  }
  if (!track.notes.empty()) score.tracks.push_back(std::move(track));
  return score;
}

}  // namespace v0
}  // namespace midigpt
