// codec/theremin_compat.hpp - the author's characters, bit for bit: what his script writes and what it reads.
//   Kept on purpose: the stray bit that sets bit 2 of every duration, rounding half to even, one instrument only, a
//   window of 256 notes; and in reading a length unit that is not the writer's, a tenth of the velocity, and a clock
//   that moves on by a constant instead of to the note. DecodeQuirks::none reads his characters as they were meant.
//   Read files for it with `ReadOptions{.pairing = Pairing::pretty_midi}`: he used that library, and it pairs in its
//   own way. Times are doubles in his order of operations; no product meets a sum before it is rounded, so that a
//   compiler that contracts to fused multiply-add gives the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/layout.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>

namespace midigpt {
inline namespace v0 {

enum class DecodeQuirks : std::uint8_t {
  author,  // as his script reads: every character is a note, rhythm lost, everything soft
  none,    // the same characters, but lengths in the writer's unit, velocity in the middle of its class, time kept
};

struct ThereminCompatOptions {
  std::size_t window = 256;  // notes from the start; the author's prompts had 16
};

/// A note in seconds, as the author's functions take and give it.
struct SecondsNote {
  int velocity = 0, pitch = 0;
  double start = 0, end = 0;

  friend bool operator==(const SecondsNote&, const SecondsNote&) = default;
};

/// The character of a note that follows one which began at `previous_start`. Requires: velocity and pitch 0..127, start
/// >= previous_start, end >= start.
[[nodiscard]] inline char32_t theremin_compat_pack(const SecondsNote& n, double previous_start) noexcept {
  const double percent = std::nearbyint(n.velocity / 127.0 * 100) / 100;
  const double step = std::nearbyint(63 * (n.start - previous_start));
  const double length = std::nearbyint((n.end - n.start) / 31 * 100);
  return PackedNote::pack({std::clamp(static_cast<int>(std::nearbyint(3 * percent)), 1, 3),
                           static_cast<int>((std::min)(step, 63.0)), static_cast<int>((std::min)(length, 31.0)) | 4,
                           n.pitch});
}

namespace detail::theremin_compat {

/// D / 31 * 10 for every duration: a table, because a product that meets a sum may be fused with it.
inline constexpr std::array<double, 32> k_author_length = [] {
  std::array<double, 32> seconds{};
  for (std::size_t d = 0; d < 32; ++d) seconds[d] = static_cast<double>(d) / 31 * 10;
  return seconds;
}();

/// Seconds by pretty_midi's arithmetic: piecewise linear, each piece from the rounded end of the one before.
class Clock {
 public:
  explicit Clock(const Score& score) {
    const double resolution = (std::max)(score.division.tpq, std::uint16_t{1});
    pieces_.push_back({0, 0, 60.0 / (120.0 * resolution)});
    for (const Tempo& t : score.tempos) {
      const double scale = 60.0 / (6e7 / (std::max)(t.us_per_quarter, 1u) * resolution);
      if (t.tick <= 0) {
        pieces_.front().scale = scale;
      } else if (scale != pieces_.back().scale) {
        pieces_.push_back({t.tick, pieces_.back().seconds(t.tick), scale});
      }
    }
  }
  [[nodiscard]] double seconds(std::int64_t tick) const noexcept {
    const auto after = std::upper_bound(pieces_.begin() + 1, pieces_.end(), tick,
                                        [](std::int64_t t, const Piece& p) { return t < p.tick; });
    return (after - 1)->seconds(tick);
  }

 private:
  struct Piece {
    std::int64_t tick;
    double start, scale;

    [[nodiscard]] double seconds(std::int64_t t) const noexcept {
      // The bound is never reached. It stands between the product and the sum, so that the product is rounded first, as
      // in the author's program, whatever the compiler may contract.
      return start + (std::min)(scale * static_cast<double>(t - tick), 1e300);
    }
  };
  std::vector<Piece> pieces_;
};

/// The notes of pretty_midi's instrument 0: of the first track with notes, those whose programme and channel are those
/// of the note that ended first, in the order of their starts.
[[nodiscard]] inline std::vector<Note> first_instrument(const Score& score) {
  const auto track =
      std::find_if(score.tracks.begin(), score.tracks.end(), [](const Track& t) { return !t.notes.empty(); });
  if (track == score.tracks.end()) return {};
  const Note& first = *std::min_element(track->notes.begin(), track->notes.end(), [](const Note& a, const Note& b) {
    return a.tick + a.duration < b.tick + b.duration;
  });
  std::vector<std::pair<std::int64_t, int>> programs{{-1, 0}};  // of that channel, from the tick after
  for (const ChannelEvent& e : track->events) {
    if (e.kind() == 0xC0 && e.channel() == first.channel) programs.emplace_back(e.tick, e.data1);
  }
  const auto program = [&](const Note& n) {  // the one at the note's end
    const auto after = std::lower_bound(programs.begin() + 1, programs.end(), n.tick + n.duration,
                                        [](const auto& change, std::int64_t tick) { return change.first < tick; });
    return (after - 1)->second;
  };
  const int first_program = program(first);
  std::vector<Note> notes;
  for (const Note& n : track->notes) {
    if (n.channel == first.channel && n.duration > 0 && program(n) == first_program) notes.push_back(n);
  }
  detail::midi_score::sort_by_tick(notes);
  return notes;
}

inline constexpr std::int64_t k_max_tick = 10'000'000;  // pretty_midi refuses longer files

/// The tick the author's writer gives a time: 220 ticks a quarter, 120 quarters a minute.
[[nodiscard]] inline std::int64_t author_tick(double seconds) noexcept {
  return static_cast<std::int64_t>(std::nearbyint((std::min)(seconds / (60.0 / (120.0 * 220.0)), 0x1p50)));
}

}  // namespace detail::theremin_compat

/// What the author reads a character as; any character is a note to him. Velocity 0 (he writes it as 10) needs a
/// character below U+40000.
[[nodiscard]] inline SecondsNote theremin_compat_unpack(char32_t c, double previous_start) noexcept {
  const auto u = static_cast<std::uint32_t>(c);
  SecondsNote n{.velocity = static_cast<int>(u >> 18) * 127 / 10, .pitch = static_cast<int>(u & 127u)};
  n.start = previous_start + static_cast<double>(u >> 12 & 63u) / 63;
  n.end = n.start + detail::theremin_compat::k_author_length[u >> 7 & 31u];
  return n;
}

[[nodiscard]] inline std::string theremin_compat_text(const Score& score, const ThereminCompatOptions& options = {},
                                                      TextReport* report = nullptr) {
  namespace compat = detail::theremin_compat;
  TextReport unread;
  TextReport& count = report != nullptr ? *report : unread;
  const std::size_t total = count_notes(score);
  if (duration_ticks(score) >= compat::k_max_tick) {
    count.notes_dropped += total;
    return {};
  }
  std::vector<Note> notes = compat::first_instrument(score);
  if (notes.size() > options.window) notes.resize(options.window);
  count.notes += notes.size();
  count.notes_dropped += total - notes.size();
  for (const Track& t : score.tracks) count.events_dropped += t.events.size() + t.metas.size();
  count.events_dropped += score.key_signatures.size();

  const compat::Clock clock(score);
  std::u32string out;
  double previous = notes.empty() ? 0 : clock.seconds(notes.front().tick);
  for (const Note& n : notes) {
    const SecondsNote s{n.velocity, n.pitch & 127, clock.seconds(n.tick), clock.seconds(n.tick + n.duration)};
    count.steps_clamped += 63 * (s.start - previous) > 63.5;
    count.durations_clamped += (s.end - s.start) / 31 * 100 > 31.5;
    out.push_back(theremin_compat_pack(s, previous));
    previous = s.start;
  }
  return utf8_encode(out);
}

/// A score with one piano track, 220 ticks a quarter, in C, as the author's writer makes it. With DecodeQuirks::none
/// characters that are no notes are skipped and counted.
[[nodiscard]] inline Score theremin_compat_score(std::string_view text, DecodeQuirks quirks = DecodeQuirks::author,
                                                 TextReport* report = nullptr) {
  namespace compat = detail::theremin_compat;
  TextReport unread;
  TextReport& count = report != nullptr ? *report : unread;
  Score score;
  score.division.tpq = 220;
  score.tempos.push_back({.tick = 0, .us_per_quarter = 500000});
  score.time_signatures.push_back({});
  score.key_signatures.push_back({});
  Track track;
  double previous = 0;
  for (const char32_t c : utf8_code_points(text)) {
    if (!PackedNote::is_note(c)) {
      ++count.foreign;
      if (quirks == DecodeQuirks::none) continue;
    } else {
      ++count.notes;
    }
    SecondsNote n = theremin_compat_unpack(c, previous);
    if (quirks == DecodeQuirks::none) {
      const NoteBits bits = PackedNote::unpack(c);
      n.velocity = class_velocity(bits.velocity);
      n.end = n.start + static_cast<double>(31 * (std::max)(bits.duration, 1)) / 100;
      previous = n.start;
    } else {
      if (n.velocity == 0) n.velocity = 10;
      previous += 60000.0 / (120 * 192) / 4;
    }
    const std::int64_t start = compat::author_tick(n.start), end = compat::author_tick(n.end);
    track.notes.push_back({.tick = start,
                           .duration = end - start,
                           .channel = 0,
                           .pitch = static_cast<std::uint8_t>(n.pitch),
                           .velocity = static_cast<std::uint8_t>(n.velocity)});
    track.end_tick = (std::max)(track.end_tick, end);
  }
  // his clock may put a note before the one it follows
  detail::midi_score::sort_by_tick(track.notes);
  track.events.push_back({.tick = 0, .status = 0xC0, .data1 = 0});
  if (!track.notes.empty()) score.tracks.push_back(std::move(track));
  return score;
}

}  // namespace v0
}  // namespace midigpt
