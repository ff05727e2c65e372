// midi/score.hpp - music as plain values: what a Standard MIDI File says, with notes already paired.
//   Time is in ticks from the start, 64 bits. A Track is one MTrk chunk; it may speak on several channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <midigpt/core/sort.hpp>

namespace midigpt {
inline namespace v0 {

struct Note {
  std::int64_t tick = 0;
  std::int64_t duration = 0;  // ticks, >= 0
  std::uint8_t channel = 0;   // 0..15; 9 is drums in General MIDI
  std::uint8_t pitch = 60;    // 0..127
  std::uint8_t velocity = 64; // 1..127
  std::uint8_t off_velocity = 64;

  friend bool operator==(const Note&, const Note&) = default;
};

/// Any other channel message: key pressure An, controller Bn, program Cn, channel pressure Dn, pitch bend En.
struct ChannelEvent {
  std::int64_t tick = 0;
  std::uint8_t status = 0xB0;  // 0xA0..0xEF, channel in the low four bits
  std::uint8_t data1 = 0;      // 0..127
  std::uint8_t data2 = 0;      // 0..127, 0 for Cn and Dn

  [[nodiscard]] constexpr std::uint8_t kind() const noexcept { return status & 0xF0u; }
  [[nodiscard]] constexpr std::uint8_t channel() const noexcept { return status & 0x0Fu; }
  friend bool operator==(const ChannelEvent&, const ChannelEvent&) = default;
};

/// A meta event that is not one of Score's maps, or a system exclusive message.
///   type 0x00..0x7F: meta type (1 text, 2 copyright, 3 track name, 5 lyric, 6 marker, 0x21 port...), data = its payload
///   type 0xF0: sysex, data without the F0; type 0xF7: escape or continuation packet
/// Text is kept as bytes: files hold Latin-1, Shift-JIS and UTF-8 alike.
struct MetaEvent {
  std::int64_t tick = 0;
  std::uint8_t type = 0;
  std::string data{};

  friend bool operator==(const MetaEvent&, const MetaEvent&) = default;
};

struct Tempo {
  std::int64_t tick = 0;
  std::uint32_t us_per_quarter = 500000;  // 1..16777215

  friend bool operator==(const Tempo&, const Tempo&) = default;
};

struct TimeSignature {
  std::int64_t tick = 0;
  std::uint8_t numerator = 4;
  std::uint8_t denominator_log2 = 2;  // 2 = quarter
  std::uint8_t clocks_per_click = 24;
  std::uint8_t thirty_seconds_per_quarter = 8;

  friend bool operator==(const TimeSignature&, const TimeSignature&) = default;
};

struct KeySignature {
  std::int64_t tick = 0;
  std::int8_t sharps = 0;  // -7..7, negative = flats
  bool minor = false;

  friend bool operator==(const KeySignature&, const KeySignature&) = default;
};

/// How long a tick lasts: `tpq` ticks a quarter note (then the tempo map rules), or SMPTE (then it is fixed).
struct Division {
  std::uint16_t tpq = 480;              // 1..32767, when smpte_fps == 0
  std::uint8_t smpte_fps = 0;           // 0, or 24, 25, 29 (= 30000/1001), 30
  std::uint8_t ticks_per_frame = 0;

  [[nodiscard]] constexpr bool is_smpte() const noexcept { return smpte_fps != 0; }
  friend bool operator==(const Division&, const Division&) = default;
};

struct Track {
  std::string name{};                   // meta 3 at tick 0, bytes as in the file
  std::vector<Note> notes{};            // ordered by (tick, order in the file)
  std::vector<ChannelEvent> events{};   // ordered by (tick, order in the file)
  std::vector<MetaEvent> metas{};       // ordered by (tick, order in the file)
  std::int64_t end_tick = 0;          // of the end-of-track event

  friend bool operator==(const Track&, const Track&) = default;
};

struct Score {
  std::uint16_t format = 1;  // 0 or 1; the sequences of a format 2 file are scores of their own
  Division division{};
  std::vector<Tempo> tempos{};                    // by tick, at most one a tick; from all tracks
  std::vector<TimeSignature> time_signatures{};   // likewise
  std::vector<KeySignature> key_signatures{};     // likewise
  std::vector<Track> tracks{};

  friend bool operator==(const Score&, const Score&) = default;
};

[[nodiscard]] inline std::size_t count_notes(const Score& score) noexcept {
  std::size_t n = 0;
  for (const Track& t : score.tracks) n += t.notes.size();
  return n;
}

namespace detail::midi_score {

template <class T>
[[nodiscard]] bool is_by_tick(const std::vector<T>& items) noexcept {
  return std::is_sorted(items.begin(), items.end(), [](const T& a, const T& b) { return a.tick < b.tick; });
}

template <class T>
void sort_by_tick(std::vector<T>& items) {
  if (!is_by_tick(items)) sort_stably(items, [](const T& a, const T& b) { return a.tick < b.tick; });
}

/// By tick, and of several at one tick the last; the first track, where the map is written, lasts as long.
template <class T>
void settle(std::vector<T>& map, std::vector<Track>& tracks) {
  sort_by_tick(map);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (i + 1 < map.size() && map[i + 1].tick == map[i].tick) continue;
    map[kept++] = map[i];
  }
  while (map.size() > kept) map.pop_back();
  if (!map.empty() && !tracks.empty()) tracks.front().end_tick = (std::max)(tracks.front().end_tick, map.back().tick);
}

}  // namespace detail::midi_score

/// Puts the three maps in the order that a Score promises: by tick, one entry a tick (the last given).
inline void settle_maps(Score& score) {
  detail::midi_score::settle(score.tempos, score.tracks);
  detail::midi_score::settle(score.time_signatures, score.tracks);
  detail::midi_score::settle(score.key_signatures, score.tracks);
}

}  // namespace v0
}  // namespace midigpt
