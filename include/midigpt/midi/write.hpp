// midi/write.hpp - a Score as the bytes of a Standard MIDI File, in one canonical order:
//   at one tick first note-offs, then meta and sysex, then channel events, then note-ons; Score's maps in the first track.
//   Hence parse_midi(midi_bytes(s)) == s for a canonical Score, and midi_bytes(parse_midi(b)) is a fixed point.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/midi/edit.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

struct WriteOptions {
  bool running_status = true;   // and note-offs of velocity 64 as note-ons of velocity 0, to prolong it
  std::optional<int> format{};  // 0 or 1; as Score::format if not given. Several tracks written as format 0 become one
};

namespace detail::midi_write {

inline constexpr std::int64_t k_longest_delta = 0x0FFFFFFF;
inline constexpr std::size_t k_longest_data = 0x0FFFFFFF;
inline constexpr std::int64_t k_never = (std::numeric_limits<std::int64_t>::max)();

[[nodiscard]] inline std::byte* put(std::byte* at, std::uint32_t b) noexcept {
  *at = static_cast<std::byte>(b);
  return at + 1;
}

/// A variable-length number of at most 28 bits.
[[nodiscard]] inline std::byte* put_number(std::byte* at, std::uint32_t n) noexcept {
  if (n >= 0x80) {
    if (n >= 0x4000) {
      if (n >= 0x200000) at = put(at, 0x80u | n >> 21);
      at = put(at, 0x80u | (n >> 14 & 0x7Fu));
    }
    at = put(at, 0x80u | (n >> 7 & 0x7Fu));
  }
  return put(at, n & 0x7Fu);
}

/// Where writing stands. Passed and returned by value: bytes written through `at` could otherwise be its own.
struct Pen {
  std::byte* at;
  std::int64_t tick = 0;
  std::uint32_t running = 0;

  void delta(std::int64_t to) noexcept {
    while (to - tick > k_longest_delta) {  // no delta time holds it: step over the gap with empty events
      tick += k_longest_delta;
      at = put_number(at, static_cast<std::uint32_t>(k_longest_delta));
      at = put(put(put(at, 0xFF), 0x7F), 0);
      running = 0;
    }
    at = put_number(at, static_cast<std::uint32_t>(to - tick));
    tick = to;
  }

  void channel(std::int64_t to, std::uint32_t status, std::uint32_t data1, std::uint32_t data2, bool running_status) noexcept {
    delta(to);
    if (status != running || !running_status) at = put(at, status);
    running = status;
    at = put(at, data1 & 0x7F);
    if ((status & 0xE0) != 0xC0) at = put(at, data2 & 0x7F);
  }

  void meta(std::int64_t to, std::uint8_t type, std::string_view data) noexcept {
    delta(to);
    running = 0;
    if (type < 0x80) at = put(at, 0xFF);
    at = put_number(put(at, type), static_cast<std::uint32_t>(data.size()));
    if (!data.empty()) std::memcpy(at, data.data(), data.size());
    at += data.size();
  }
};

/// A meta event made of one of Score's maps.
struct MapEvent {
  std::int64_t tick;
  std::uint8_t type;
  std::uint8_t size;
  char data[4];
};

[[nodiscard]] inline std::vector<MapEvent> map_events(const Score& score) {
  std::vector<MapEvent> events;
  events.reserve(score.tempos.size() + score.time_signatures.size() + score.key_signatures.size());
  for (const TimeSignature& t : score.time_signatures) {
    events.push_back({t.tick, 0x58, 4,
                      {static_cast<char>((std::max)(t.numerator, std::uint8_t{1})), static_cast<char>((std::min)(t.denominator_log2, std::uint8_t{10})),
                       static_cast<char>(t.clocks_per_click), static_cast<char>(t.thirty_seconds_per_quarter)}});
  }
  for (const KeySignature& k : score.key_signatures) {
    events.push_back({k.tick, 0x59, 2, {static_cast<char>(std::clamp(k.sharps, std::int8_t{-7}, std::int8_t{7})), static_cast<char>(k.minor), 0, 0}});
  }
  for (const Tempo& t : score.tempos) {
    const std::uint32_t us = std::clamp(t.us_per_quarter, 1u, 0xFFFFFFu);
    events.push_back({t.tick, 0x51, 3, {static_cast<char>(us >> 16), static_cast<char>(us >> 8 & 0xFF), static_cast<char>(us & 0xFF), 0}});
  }
  midi_score::sort_by_tick(events);
  return events;
}

/// The track itself where it is in order, or a copy put in order.
template <class T>
[[nodiscard]] const std::vector<T>& in_order(const std::vector<T>& items, std::vector<T>& copy) {
  if (midi_score::is_by_tick(items)) return items;
  copy = std::vector<T>(items);
  midi_score::sort_by_tick(copy);
  return copy;
}

[[nodiscard]] inline bool writable(const MetaEvent& m) noexcept {
  const bool type = m.type == 0xF0 || m.type == 0xF7 || (m.type < 0x80 && m.type != 0x2F);
  return type && m.data.size() <= k_longest_data;
}

struct NoteEnd {
  std::int64_t tick;
  std::size_t order;  // index of the note: of those that end together the first begun ends first
};

/// The ends of all notes that have a length, by (tick, order). Notes end nearly in the order in which they begin: insertion
/// moves few, and if a hostile score makes it move many, sorting takes over.
[[nodiscard]] inline std::vector<NoteEnd> note_ends(const std::vector<Note>& notes) {
  std::vector<NoteEnd> ends(notes.size() + 1);
  std::size_t count = 0, moves = 0;
  const std::size_t most_moves = 32 * notes.size();
  for (std::size_t i = 0; i < notes.size(); ++i) {
    if (notes[i].duration <= 0) continue;
    const std::int64_t tick = notes[i].tick + notes[i].duration;
    std::size_t at = count++;
    while (at > 0 && ends[at - 1].tick > tick && moves < most_moves) {
      ends[at] = ends[at - 1];
      --at;
      ++moves;
    }
    ends[at] = {tick, i};
  }
  ends.resize(count);
  if (moves == most_moves) {
    sort_stably(ends, [](const NoteEnd& a, const NoteEnd& b) { return a.tick != b.tick ? a.tick < b.tick : a.order < b.order; });
  }
  ends.push_back({k_never, 0});
  return ends;
}

inline void write_track(Bytes& out, const Track& track, const std::vector<MapEvent>& maps, bool running_status) {
  std::vector<Note> note_copy;
  std::vector<ChannelEvent> event_copy;
  std::vector<MetaEvent> meta_copy;
  const std::vector<Note>& notes = in_order(track.notes, note_copy);
  const std::vector<ChannelEvent>& events = in_order(track.events, event_copy);
  const std::vector<MetaEvent>& metas = in_order(track.metas, meta_copy);
  const std::vector<NoteEnd> ends = note_ends(notes);

  std::int64_t last = (std::max)(track.end_tick, std::int64_t{0});
  std::size_t most_bytes = 32 + track.name.size();
  for (const MetaEvent& m : metas) most_bytes += 10 + m.data.size();
  if (!metas.empty()) last = (std::max)(last, metas.back().tick);
  if (!maps.empty()) last = (std::max)(last, maps.back().tick);
  if (!events.empty()) last = (std::max)(last, events.back().tick);
  if (!notes.empty()) last = (std::max)(last, notes.back().tick);
  if (ends.size() > 1) last = (std::max)(last, ends[ends.size() - 2].tick);
  most_bytes += maps.size() * 11 + events.size() * 7 + notes.size() * 14;
  most_bytes += static_cast<std::size_t>(last / k_longest_delta + 1) * 7;  // spacers

  const std::size_t start = out.size();
  out.resize(start + 8 + most_bytes);
  std::memcpy(out.data() + start, "MTrk", 4);
  Pen pen{out.data() + start + 8};
  if (!track.name.empty()) pen.meta(0, 0x03, std::string_view(track.name).substr(0, k_longest_data));

  const auto note_off = [&](Pen p, std::int64_t tick, const Note& n) {
    const bool as_on = running_status && n.off_velocity == 64;
    p.channel(tick, (as_on ? 0x90u : 0x80u) | (n.channel & 0x0Fu), n.pitch, as_on ? 0 : (std::min)(n.off_velocity, std::uint8_t{127}), running_status);
    return p;
  };
  std::size_t note = 0, end = 0, event = 0, meta = 0, map = 0;
  for (;;) {
    const std::int64_t event_tick = event < events.size() ? events[event].tick : k_never;
    const std::int64_t meta_tick = meta < metas.size() ? metas[meta].tick : k_never;
    const std::int64_t map_tick = map < maps.size() ? maps[map].tick : k_never;
    const std::int64_t other = (std::min)({event_tick, meta_tick, map_tick});
    // notes up to there: at one tick note-offs first, note-ons last
    for (Pen p = pen;;) {
      const std::int64_t on = note < notes.size() ? notes[note].tick : k_never;
      const std::int64_t off = ends[end].tick;
      if (off <= on) {
        if (off > other || off == k_never) {
          pen = p;
          break;
        }
        p = note_off(p, (std::max)(off, p.tick), notes[ends[end].order]);
        ++end;
      } else {
        if (on >= other) {
          pen = p;
          break;
        }
        const Note& n = notes[note++];
        const std::int64_t tick = (std::max)(on, p.tick);
        p.channel(tick, 0x90u | (n.channel & 0x0Fu), n.pitch, std::clamp(n.velocity, std::uint8_t{1}, std::uint8_t{127}), running_status);
        if (n.duration <= 0) p = note_off(p, tick, n);
      }
    }
    if (other == k_never) break;
    const std::int64_t tick = (std::max)(other, pen.tick);
    if (map_tick == other) {
      pen.meta(tick, maps[map].type, {maps[map].data, maps[map].size});
      ++map;
    } else if (meta_tick == other) {
      if (writable(metas[meta])) pen.meta(tick, metas[meta].type, metas[meta].data);
      ++meta;
    } else {
      const ChannelEvent& e = events[event++];
      if (e.status >= 0xA0 && e.status < 0xF0) pen.channel(tick, e.status, e.data1, e.data2, running_status);
    }
  }
  pen.meta((std::max)(last, pen.tick), 0x2F, {});
  const auto size = static_cast<std::size_t>(pen.at - out.data()) - start - 8;
  for (std::size_t i = 0; i < 4; ++i) out[start + 4 + i] = static_cast<std::byte>(size >> (24 - 8 * i));
  out.resize(start + 8 + size);
}

}  // namespace detail::midi_write

/// The bytes of a Standard MIDI File. What MIDI cannot hold is made to fit: values are clamped to their range, negative
/// ticks to 0, events of impossible kinds are left out.
[[nodiscard]] inline Bytes midi_bytes(const Score& score, const WriteOptions& options = {}) {
  namespace mw = detail::midi_write;
  const bool format_0 = options.format.value_or(score.format) == 0;
  const std::vector<mw::MapEvent> maps = mw::map_events(score);
  const std::vector<mw::MapEvent> none;
  std::vector<Track> merged;
  if ((format_0 && score.tracks.size() > 1) || (score.tracks.empty() && !maps.empty())) merged = merge_tracks(score).tracks;
  const std::vector<Track>& tracks = merged.empty() ? score.tracks : merged;
  const std::size_t count = (std::min)(tracks.size(), std::size_t{0xFFFF});

  ByteWriter header;
  header.raw("MThd");
  header.be(std::uint32_t{6});
  header.be(static_cast<std::uint16_t>(format_0 ? 0 : 1));
  header.be(static_cast<std::uint16_t>(count));
  const Division& d = score.division;
  const bool smpte = d.is_smpte();
  header.be(smpte ? static_cast<std::uint16_t>((256u - d.smpte_fps) << 8 | d.ticks_per_frame)
                  : std::clamp(d.tpq, std::uint16_t{1}, std::uint16_t{0x7FFF}));
  Bytes out = std::move(header).take();
  for (std::size_t i = 0; i < count; ++i) mw::write_track(out, tracks[i], i == 0 ? maps : none, options.running_status);
  return out;
}

/// Replaces the file atomically.
[[nodiscard]] inline Result<void> write_midi(const std::string& path, const Score& score, const WriteOptions& options = {}) {
  return write_file_atomic(path, midi_bytes(score, options));
}

}  // namespace v0
}  // namespace midigpt
