// midi/write.hpp - a Score as the bytes of a Standard MIDI File, in one canonical order:
//   at one tick first note-offs, then meta and sysex, then channel events, then note-ons; Score's maps in the first track.
//   Hence parse_midi(midi_bytes(s)) == s for a canonical Score, and midi_bytes(parse_midi(b)) is a fixed point.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
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

/// One MTrk chunk being written at the end of `out`.
class TrackWriter {
 public:
  TrackWriter(Bytes& out, std::size_t most_bytes, bool running_status) : out_(out), start_(out.size()), running_status_(running_status) {
    out.resize(start_ + 8 + most_bytes);
    std::memcpy(out.data() + start_, "MTrk", 4);
    at_ = out.data() + start_ + 8;
  }

  void channel(std::int64_t tick, std::uint32_t status, std::uint32_t data1, std::uint32_t data2) {
    delta(tick);
    if (status != running_ || !running_status_) put(status);
    running_ = status;
    put(data1 & 0x7F);
    if ((status & 0xE0) != 0xC0) put(data2 & 0x7F);
  }

  void meta(std::int64_t tick, std::uint8_t type, std::string_view data) {
    delta(tick);
    running_ = 0;
    if (type < 0x80) put(0xFF);
    put(type);
    number(data.size());
    std::memcpy(at_, data.data(), data.size());
    at_ += data.size();
  }

  void finish(std::int64_t end_tick) {
    meta(end_tick, 0x2F, {});
    const auto size = static_cast<std::size_t>(at_ - out_.data()) - start_ - 8;
    for (std::size_t i = 0; i < 4; ++i) out_[start_ + 4 + i] = static_cast<std::byte>(size >> (24 - 8 * i));
    out_.resize(start_ + 8 + size);
  }

  [[nodiscard]] std::int64_t tick() const noexcept { return tick_; }

 private:
  void put(std::uint32_t b) { *at_++ = static_cast<std::byte>(b); }

  void number(std::size_t n) {
    if (n >= 0x80) {
      for (int shift = n >= 0x200000 ? 21 : n >= 0x4000 ? 14 : 7; shift > 0; shift -= 7) {
        put(0x80u | static_cast<std::uint32_t>(n >> shift & 0x7Fu));
      }
    }
    put(static_cast<std::uint32_t>(n & 0x7Fu));
  }

  void delta(std::int64_t tick) {
    while (tick - tick_ > k_longest_delta) {  // no delta time holds it: step over the gap with empty events
      tick_ += k_longest_delta;
      number(static_cast<std::size_t>(k_longest_delta));
      put(0xFF);
      put(0x7F);
      put(0);
      running_ = 0;
    }
    number(static_cast<std::size_t>(tick - tick_));
    tick_ = tick;
  }

  Bytes& out_;
  std::size_t start_;
  std::byte* at_;
  std::int64_t tick_ = 0;
  std::uint32_t running_ = 0;
  bool running_status_;
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
  std::stable_sort(events.begin(), events.end(), [](const MapEvent& a, const MapEvent& b) { return a.tick < b.tick; });
  return events;
}

/// The track itself where it is in order, or a copy put in order.
template <class T>
[[nodiscard]] const std::vector<T>& in_order(const std::vector<T>& items, std::vector<T>& copy) {
  const auto earlier = [](const T& a, const T& b) { return a.tick < b.tick; };
  if (std::is_sorted(items.begin(), items.end(), earlier)) return items;
  copy = items;
  std::stable_sort(copy.begin(), copy.end(), earlier);
  return copy;
}

[[nodiscard]] inline bool writable(const MetaEvent& m) noexcept {
  const bool type = m.type == 0xF0 || m.type == 0xF7 || (m.type < 0x80 && m.type != 0x2F);
  return type && m.data.size() <= k_longest_data;
}

struct NoteEnd {
  std::int64_t tick;
  std::size_t order;  // index of the note: of those that end together the first begun ends first
  [[nodiscard]] bool operator>(const NoteEnd& o) const noexcept { return tick != o.tick ? tick > o.tick : order > o.order; }
};

inline void write_track(Bytes& out, const Track& track, const std::vector<MapEvent>& maps, bool running_status) {
  std::vector<Note> note_copy;
  std::vector<ChannelEvent> event_copy;
  std::vector<MetaEvent> meta_copy;
  const std::vector<Note>& notes = in_order(track.notes, note_copy);
  const std::vector<ChannelEvent>& events = in_order(track.events, event_copy);
  const std::vector<MetaEvent>& metas = in_order(track.metas, meta_copy);

  std::int64_t last = (std::max)(track.end_tick, std::int64_t{0});
  std::size_t most_bytes = 16 + track.name.size();
  for (const MetaEvent& m : metas) {
    most_bytes += 10 + m.data.size();
    last = (std::max)(last, m.tick);
  }
  if (!maps.empty()) last = (std::max)(last, maps.back().tick);
  if (!events.empty()) last = (std::max)(last, events.back().tick);
  for (const Note& n : notes) last = (std::max)(last, n.tick + (std::max)(n.duration, std::int64_t{0}));
  most_bytes += maps.size() * 11 + events.size() * 7 + notes.size() * 14;
  most_bytes += static_cast<std::size_t>(last / k_longest_delta + 1) * 7;  // spacers

  TrackWriter writer(out, most_bytes, running_status);
  if (!track.name.empty()) writer.meta(0, 0x03, std::string_view(track.name).substr(0, k_longest_data));

  std::vector<NoteEnd> ends;  // a heap: the next note-off in front
  std::size_t note = 0, event = 0, meta = 0, map = 0;
  const auto note_off = [&](std::int64_t tick, const Note& n) {
    const bool as_on = running_status && n.off_velocity == 64;
    writer.channel(tick, (as_on ? 0x90u : 0x80u) | (n.channel & 0x0Fu), n.pitch, as_on ? 0 : (std::min)(n.off_velocity, std::uint8_t{127}));
  };
  for (;;) {
    const std::int64_t on_tick = note < notes.size() ? notes[note].tick : k_never;
    const std::int64_t off_tick = ends.empty() ? k_never : ends.front().tick;
    const std::int64_t event_tick = event < events.size() ? events[event].tick : k_never;
    const std::int64_t meta_tick = meta < metas.size() ? metas[meta].tick : k_never;
    const std::int64_t map_tick = map < maps.size() ? maps[map].tick : k_never;
    const std::int64_t tick = (std::min)({on_tick, off_tick, event_tick, meta_tick, map_tick});
    if (tick == k_never) break;
    const std::int64_t at = (std::max)(tick, writer.tick());
    if (off_tick == tick) {
      std::pop_heap(ends.begin(), ends.end(), std::greater<>());
      note_off(at, notes[ends.back().order]);
      ends.pop_back();
    } else if (map_tick == tick) {
      writer.meta(at, maps[map].type, {maps[map].data, maps[map].size});
      ++map;
    } else if (meta_tick == tick) {
      if (writable(metas[meta])) writer.meta(at, metas[meta].type, metas[meta].data);
      ++meta;
    } else if (event_tick == tick) {
      const ChannelEvent& e = events[event++];
      if (e.status >= 0xA0 && e.status < 0xF0) writer.channel(at, e.status, e.data1, e.data2);
    } else {
      const Note& n = notes[note];
      writer.channel(at, 0x90u | (n.channel & 0x0Fu), n.pitch, std::clamp(n.velocity, std::uint8_t{1}, std::uint8_t{127}));
      if (n.duration > 0) {
        ends.push_back({n.tick + n.duration, note});
        std::push_heap(ends.begin(), ends.end(), std::greater<>());
      } else {
        note_off(at, n);
      }
      ++note;
    }
  }
  writer.finish((std::max)(last, writer.tick()));
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
