// midi/view.hpp - the events of a Standard MIDI File, read lazily from its bytes: nothing is allocated or copied.
//   MidiView walks the chunks, EventCursor the events of one track. `parse_midi` (midi/read.hpp) stands on both.
//
//     auto view = MidiView::open(bytes);
//     EventCursor events;
//     MidiEvent e;
//     while (view->next_track(events)) while (events.next(e)) { ... }
//     if (view->error()) ...
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

/// Something in a file that was put right (repair), or that is wrong but changes nothing (strict accepts it too).
struct Mend {
  std::uint64_t offset = 0;  // byte in the input
  std::string what;

  friend bool operator==(const Mend&, const Mend&) = default;
};

/// The first `k_most` mends, and the number of all: a hostile file cannot turn each of its bytes into a message.
struct MendList {
  static constexpr std::size_t k_most = 256;
  std::vector<Mend> mends;
  std::uint64_t count = 0;

  void add(std::uint64_t offset, std::string_view what) {
    if (count++ < k_most) mends.push_back({offset, std::string(what)});
  }
};

/// One event as it stands in the file.
struct MidiEvent {
  std::int64_t tick = 0;     // from the start of the track
  std::uint8_t status = 0;   // 0x80..0xEF channel message, 0xF0 sysex, 0xF7 escape or continuation, 0xFF meta
  std::uint8_t data1 = 0;    // first data byte; the type of a meta event
  std::uint8_t data2 = 0;    // second data byte, 0 if the message has one
  ByteSpan data;             // payload; meaningful for meta, sysex and escape only
};

struct MidiHeader {
  std::uint16_t format = 1;           // 0, 1 or 2
  std::uint16_t declared_tracks = 0;  // a hint: every track chunk of the file is read
  Division division;
};

namespace detail::midi_view {

inline constexpr std::ptrdiff_t k_longest_message = 8;  // four bytes of delta time, a status, two data bytes, rounded up

/// What stands at one place of a track, taken for a channel message: a delta time, then a word of status | data1 << 8 |
/// data2 << 16 | any byte << 24, running status put in. `rest` is where the data bytes begin.
struct Message {
  const std::byte* rest;
  std::uint32_t delta, word;

  /// A note-on or note-off with its two data bytes: the common case, known by one comparison.
  [[nodiscard]] bool is_note() const noexcept { return (word & 0x8080E0u) == 0x80u; }
  /// Any other channel message with good data bytes.
  [[nodiscard]] bool is_other() const noexcept {
    return is_single() ? (word & 0x8000u) == 0 : (word & 0x808080u) == 0x80u && (word & 0xF0u) != 0xF0u;
  }
  [[nodiscard]] bool is_single() const noexcept { return (word & 0xE0u) == 0xC0u; }  // one data byte
};

/// Reads the eight bytes at `at`, which must be there. A delta time of more than four bytes, and no status at all
/// (`running` 0), leave a word that is neither is_note() nor is_other().
[[nodiscard]] inline Message decode(const std::byte* at, std::uint32_t running) noexcept {
  std::uint64_t x = load_le<std::uint64_t>(at);
  Message m{at + 1, static_cast<std::uint32_t>(x & 0x7F), 0};
  if ((x & 0x80) == 0) {
    x >>= 8;
  } else {
    m.delta = m.delta << 7 | static_cast<std::uint32_t>(x >> 8 & 0x7F);
    if ((x & 0x8000) == 0) {
      m.rest = at + 2;
      x >>= 16;
    } else {
      m.delta = m.delta << 7 | static_cast<std::uint32_t>(x >> 16 & 0x7F);
      if ((x & 0x800000) == 0) {
        m.rest = at + 3;
        x >>= 24;
      } else {
        if ((x & 0x80000000) != 0) return m;
        m.delta = m.delta << 7 | static_cast<std::uint32_t>(x >> 24 & 0x7F);
        m.rest = at + 4;
        x >>= 32;
      }
    }
  }
  m.word = static_cast<std::uint32_t>(x);
  if ((x & 0x80) != 0) {
    ++m.rest;
  } else {
    m.word = m.word << 8 | running;
  }
  return m;
}

}  // namespace detail::midi_view

/// Walks the events of one track. Strict: the first malformed byte ends the walk with an error(). Repair: it is mended.
///   The end-of-track event is not delivered; after it, end_tick() is its tick.
class EventCursor {
 public:
  EventCursor() = default;

  /// Moves to the next event; false at the end of the track or at an error.
  [[nodiscard]] bool next(MidiEvent& e) {
    if (end_ - at_ < detail::midi_view::k_longest_message) return next_checked(e);
    const detail::midi_view::Message m = detail::midi_view::decode(at_, running_);
    std::uint32_t word = m.word;
    if (m.is_note()) [[likely]] {
      at_ = m.rest + 2;
    } else if (m.is_other()) {
      at_ = m.rest + (m.is_single() ? 1 : 2);
      if (m.is_single()) word &= 0xFFFFu;
    } else {
      return next_checked(e);
    }
    running_ = word & 0xFFu;
    tick_ += m.delta;
    e.tick = tick_;
    e.status = static_cast<std::uint8_t>(word);
    e.data1 = static_cast<std::uint8_t>(word >> 8);
    e.data2 = static_cast<std::uint8_t>(word >> 16);
    return true;
  }

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] std::int64_t end_tick() const noexcept { return tick_; }
  [[nodiscard]] std::size_t bytes_left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_of(at_); }

 private:
  friend class MidiView;
  friend class MidiReader;

  [[nodiscard]] static std::uint32_t byte(const std::byte* p) noexcept { return std::to_integer<std::uint32_t>(*p); }
  [[nodiscard]] std::uint64_t offset_of(const std::byte* p) const noexcept {
    return p == nullptr ? 0 : static_cast<std::uint64_t>(p - file_.data());
  }

  /// What next() does not do in its fast path: the last bytes of a track, meta and sysex, and everything wrong.
  [[nodiscard]] bool next_checked(MidiEvent& e) {
    while (!done_) {
      if (at_ == end_) {
        if (extend()) continue;
        return stop(at_, Errc::truncated, "track without end-of-track event");
      }
      const std::byte* p = at_;
      std::uint64_t delta = 0;
      if (!length(p, delta, "delta time")) {
        if (!done_) continue;  // the track went on past its declared end
        return false;
      }
      if (p == end_) {
        if (extend()) continue;
        return stop(p, Errc::truncated, "track ends after a delta time");
      }
      std::uint32_t status = byte(p);
      if (status >= 0x80) {
        ++p;
      } else {
        if (running_ == 0 && cancelled_ != 0 && repair_) {
          mend(p, "running status across a meta or sysex event");
          running_ = cancelled_;
        }
        status = running_;
        if (status == 0) {
          if (!repair_) return stop(p, Errc::bad_value, "data byte without a status byte");
          mend(p, "data bytes without a status byte: dropped");
          at_ = p + (std::min)(end_ - p, std::ptrdiff_t{2});
          tick_ += static_cast<std::int64_t>(delta);
          continue;
        }
      }
      if (status < 0xF0) {
        const std::ptrdiff_t size = (status & 0xE0) == 0xC0 ? 1 : 2;
        if (end_ - p < size) {
          if (extend()) continue;
          return stop(end_, Errc::truncated, "track ends inside a channel message");
        }
        const std::uint32_t d1 = byte(p), d2 = size == 2 ? byte(p + 1) : 0;
        if (((d1 | d2) & 0x80) != 0 && !repair_) {
          return stop(d1 >= 0x80 ? p : p + 1, Errc::bad_value, "data byte above 127");
        }
        running_ = status;
        advance(p + size, delta);
        if (((d1 | d2) & 0x80) != 0) {
          mend(p, "data byte above 127: event dropped");
          continue;
        }
        deliver(e, status, d1, d2, {});
        return true;
      }
      if (running_ != 0) cancelled_ = running_;
      running_ = 0;
      if (status == 0xF0 || status == 0xF7 || status == 0xFF) {
        std::uint32_t type = 0;
        const std::byte* const type_at = p;
        if (status == 0xFF) {
          if (p == end_) {
            if (extend()) continue;
            return stop(p, Errc::truncated, "track ends inside a meta event");
          }
          type = byte(p++);
        }
        const std::byte* const length_at = p;
        std::uint64_t size = 0;
        if (!length(p, size, "length")) {
          if (!done_) continue;
          return false;
        }
        if (size > static_cast<std::uint64_t>(end_ - p)) {
          if (extend()) continue;
          return stop(length_at, Errc::too_large, "event longer than its track");
        }
        const ByteSpan data(p, static_cast<std::size_t>(size));
        if (status == 0xFF && type == 0x2F && size != 0 && !repair_) {
          return stop(length_at, Errc::bad_value, "end-of-track event with data");
        }
        if (type >= 0x80 && !repair_) return stop(type_at, Errc::bad_value, "meta event type above 127");
        advance(p + size, delta);
        if (status == 0xFF && type == 0x2F) {
          if (size != 0) mend(length_at, "end-of-track event with data: ignored");
          done_ = ended_ = true;
          return false;
        }
        if (type >= 0x80) {
          mend(type_at, "meta event type above 127: event dropped");
          continue;
        }
        deliver(e, status, type, 0, data);
        return true;
      }
      // F1..FE but F7: only a live stream has these
      if (!repair_) return stop(p - 1, Errc::bad_value, "system message that a file cannot hold");
      mend(p - 1, "system message: dropped");
      const std::ptrdiff_t size = status == 0xF2 ? 2 : status == 0xF1 || status == 0xF3 ? 1 : 0;
      if (status >= 0xF8) running_ = cancelled_;  // real-time messages leave the running status alone
      advance(p + (std::min)(end_ - p, size), delta);
    }
    return false;
  }

  void deliver(MidiEvent& e, std::uint32_t status, std::uint32_t data1, std::uint32_t data2, ByteSpan data) noexcept {
    e.tick = tick_;
    e.status = static_cast<std::uint8_t>(status);
    e.data1 = static_cast<std::uint8_t>(data1);
    e.data2 = static_cast<std::uint8_t>(data2);
    e.data = data;
  }

  void advance(const std::byte* p, std::uint64_t delta) noexcept {
    at_ = p;
    tick_ += static_cast<std::int64_t>(delta);
  }

  /// A variable-length number. False: stopped, or (not done_) the track was extended and the event must be read again.
  [[nodiscard]] bool length(const std::byte*& p, std::uint64_t& value, const char* name) {
    const std::byte* const start = p;
    for (int n = 1;; ++n) {
      if (p == end_) {
        if (!extend()) stop(p, Errc::truncated, std::string("track ends inside a ") + name);
        return false;
      }
      const std::uint32_t b = byte(p++);
      value = value << 7 | (b & 0x7F);
      if (n == 5) mend(start, std::string(name) + " of five bytes");
      if (b < 0x80) break;
      if (n == (repair_ ? 5 : 4)) {
        stop(start, Errc::bad_value, std::string(name) + " of more than four bytes");
        return false;
      }
    }
    if (tick_ > k_last_tick) {
      stop(start, Errc::too_large, "more than 2^60 ticks");
      return false;
    }
    return true;
  }

  /// Repair only: a track that stops in the middle, before bytes that begin no chunk, goes on to the next track chunk.
  [[nodiscard]] bool extend();

  void mend(const std::byte* p, std::string_view what) {
    if (mends_ != nullptr) mends_->add(offset_of(p), what);
  }

  [[gnu::cold]] bool stop(const std::byte* p, Errc code, const std::string& what) {
    done_ = true;
    if (repair_) {
      mend(p, what + ": track ends here");
    } else {
      error_ = Error{code, offset_of(p), concat({"track ", index_, ": ", what})};
    }
    return false;
  }

  static constexpr std::int64_t k_last_tick = std::int64_t{1} << 60;

  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  std::int64_t tick_ = 0;
  std::uint32_t running_ = 0;    // 0: none
  std::uint32_t cancelled_ = 0;  // the running status that a meta or sysex event ended
  bool repair_ = false;
  bool done_ = true;
  bool ended_ = false;     // by an end-of-track event
  bool extended_ = false;  // past the declared end
  std::size_t index_ = 0;
  ByteSpan file_;
  MendList* mends_ = nullptr;
  std::optional<Error> error_;
};

namespace detail::midi_view {

[[nodiscard]] inline bool has_id(ByteSpan bytes, std::size_t at, std::string_view id) noexcept {
  return at <= bytes.size() && bytes.size() - at >= 4 && as_chars(bytes.subspan(at, 4)) == id;
}

/// The offset of the next track chunk at or after `at`, or bytes.size().
[[nodiscard]] inline std::size_t find_track(ByteSpan bytes, std::size_t at) noexcept {
  return (std::min)(as_chars(bytes).find("MTrk", at), bytes.size());
}

[[nodiscard]] inline bool printable_id(ByteSpan bytes, std::size_t at) noexcept {
  for (const char c : as_chars(bytes.subspan(at, 4))) {
    if (c < 0x20 || c > 0x7E) return false;
  }
  return true;
}

}  // namespace detail::midi_view

inline bool EventCursor::extend() {
  const auto end = static_cast<std::size_t>(end_ - file_.data());
  if (!repair_ || extended_ || file_.size() - end < 4 || detail::midi_view::printable_id(file_, end)) return false;
  extended_ = true;
  mend(end_, "track goes on past its declared end");
  end_ = file_.data() + detail::midi_view::find_track(file_, end);
  return true;
}

/// The chunks of a Standard MIDI File (formats 0, 1, 2; bare or in a RIFF RMID wrapper). Borrows the bytes.
class MidiView {
 public:
  /// Reads the header. `mends` may be null; it must outlive the view and its cursors.
  [[nodiscard]] static Result<MidiView> open(ByteSpan bytes, bool repair = false, MendList* mends = nullptr) {
    MidiView view;
    view.file_ = bytes;
    view.repair_ = repair;
    view.mends_ = mends;
    if (auto r = view.unwrap(); !r) return r.error();
    if (auto r = view.read_header(); !r) return r.error();
    return view;
  }

  [[nodiscard]] const MidiHeader& header() const noexcept { return header_; }
  [[nodiscard]] std::size_t tracks_read() const noexcept { return tracks_; }
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

  /// Puts `cursor` at the start of the next track; false after the last one or at an error.
  /// Pass the same cursor each time: where it stopped, and why, decides what follows.
  [[nodiscard]] bool next_track(EventCursor& cursor) {
    if (error_ || finished_ || !leave(cursor)) return false;
    for (;;) {
      const std::size_t left = file_.size() - at_;
      if (left < 8) {
        if (left > 0) mend(at_, "stray bytes after the last chunk");
        return finish();
      }
      if (!detail::midi_view::printable_id(file_, at_)) {
        const std::size_t found = detail::midi_view::find_track(file_, at_);
        if (found == file_.size()) {
          mend(at_, "stray bytes after the last chunk");
          return finish();
        }
        if (!repair_) return fail(at_, Errc::bad_magic, "stray bytes before a track chunk");
        mend(at_, "stray bytes before a track chunk: skipped");
        at_ = found;
        continue;
      }
      const std::uint64_t size = load_be<std::uint32_t>(file_.data() + at_ + 4);
      const bool fits = size <= left - 8;
      if (!fits && !repair_) {
        return fail(at_ + 4, Errc::too_large, concat({"chunk of ", size, " bytes, ", left - 8, " are left"}));
      }
      if (detail::midi_view::has_id(file_, at_, "MTrk")) {
        if (!fits) mend(at_ + 4, "track length past the end of the file");
        declared_end_ = at_ + 8 + static_cast<std::size_t>((std::min)(size, std::uint64_t{left - 8}));
        clipped_ = !fits;
        start(cursor);
        return true;
      }
      if (fits) {
        at_ += 8 + static_cast<std::size_t>(size);
      } else {
        mend(at_ + 4, "unknown chunk past the end of the file: skipped");
        at_ = detail::midi_view::find_track(file_, at_ + 8);
      }
    }
  }

 private:
  MidiView() = default;

  [[nodiscard]] Result<void> unwrap() {
    using detail::midi_view::has_id;
    if (has_id(file_, 0, "RIFF") && has_id(file_, 8, "RMID")) {
      for (std::size_t at = 12; at + 8 <= file_.size();) {
        const std::uint64_t size = load_le<std::uint32_t>(file_.data() + at + 4);
        const std::uint64_t left = file_.size() - at - 8;
        if (size > left) {
          if (!repair_) return Error{Errc::too_large, at + 4, "RIFF chunk past the end of the file"};
          mend(at + 4, "RIFF chunk past the end of the file");
        }
        if (has_id(file_, at, "data")) {
          at_ = at + 8;
          file_ = file_.first(at_ + static_cast<std::size_t>((std::min)(size, left)));
          return {};
        }
        if (size > left) break;
        at += 8 + static_cast<std::size_t>(size + (size & 1));
      }
      return Error{Errc::bad_magic, 12, "RMID file without a data chunk"};
    }
    if (!has_id(file_, 0, "MThd") && repair_) {
      const std::size_t found = as_chars(file_.first((std::min)(file_.size(), k_search_bytes))).find("MThd");
      if (found != std::string_view::npos) {
        mend(0, "bytes before the header: skipped");
        at_ = found;
      }
    }
    return {};
  }

  [[nodiscard]] Result<void> read_header() {
    const std::size_t start = at_;
    if (!detail::midi_view::has_id(file_, start, "MThd")) {
      return Error{Errc::bad_magic, start, "no MThd: not a Standard MIDI File"};
    }
    ByteReader in(file_.subspan(start + 4), start + 4);
    const auto size = in.be<std::uint32_t>();
    if (!size) return size.error();
    if (*size < 6) return Error{Errc::bad_value, start + 4, concat({"header of ", *size, " bytes, expected 6"})};
    const auto body = in.take(*size);
    if (!body) return body.error();
    at_ = start + 8 + *size;
    header_.format = load_be<std::uint16_t>(body->data());
    header_.declared_tracks = load_be<std::uint16_t>(body->data() + 2);
    const std::uint16_t division = load_be<std::uint16_t>(body->data() + 4);
    if (header_.format > 2) {
      if (!repair_) return Error{Errc::unsupported, start + 8, concat({"format ", header_.format, ", expected 0, 1 or 2"})};
      mend(start + 8, "unknown format: read as format 1");
      header_.format = 1;
    }
    const std::uint64_t division_at = start + 12;
    if ((division & 0x8000) == 0) {
      header_.division.tpq = division;
      if (division != 0) return {};
      if (!repair_) return Error{Errc::bad_value, division_at, "division 0"};
      mend(division_at, "division 0: read as 480");
      header_.division.tpq = 480;
      return {};
    }
    const std::uint32_t fps = 256u - (division >> 8u);
    const std::uint32_t ticks = division & 0xFFu;
    if ((fps != 24 && fps != 25 && fps != 29 && fps != 30) || ticks == 0) {
      return Error{Errc::bad_value, division_at, concat({"SMPTE division of ", fps, " frames, ", ticks, " ticks"})};
    }
    header_.division.smpte_fps = static_cast<std::uint8_t>(fps);
    header_.division.ticks_per_frame = static_cast<std::uint8_t>(ticks);
    return {};
  }

  void start(EventCursor& cursor) const {
    cursor = EventCursor();
    cursor.file_ = file_;
    cursor.at_ = file_.data() + at_ + 8;
    cursor.end_ = file_.data() + declared_end_;
    cursor.done_ = false;
    cursor.repair_ = repair_;
    cursor.mends_ = mends_;
    cursor.index_ = tracks_;
  }

  /// Where the chunk after the current track begins, given how far its cursor went.
  [[nodiscard]] bool leave(EventCursor& cursor) {
    if (declared_end_ == 0) return true;  // before the first track
    ++tracks_;
    if (cursor.error_) {
      error_ = cursor.error_;
      return false;
    }
    const auto reached = static_cast<std::size_t>(cursor.at_ - file_.data());
    at_ = declared_end_;
    if (!cursor.done_) return true;  // the caller left the track early
    if (cursor.extended_) {
      at_ = cursor.ended_ ? reached : detail::midi_view::find_track(file_, reached);
    } else if (cursor.ended_ && reached < declared_end_) {
      if (!repair_) return fail(reached, Errc::bad_value, "data after the end-of-track event");
      const bool overlap = clipped_ || detail::midi_view::has_id(file_, reached, "MTrk");
      if (overlap) {
        at_ = reached;
      } else {
        mend(reached, "data after the end-of-track event: ignored");
      }
    } else if (clipped_) {
      at_ = detail::midi_view::find_track(file_, reached);
    }
    return true;
  }

  [[nodiscard]] bool finish() {
    if (!finished_ && tracks_ != header_.declared_tracks) {
      mend(file_.size(), concat({"header declares ", header_.declared_tracks, " tracks, ", tracks_, " found"}));
    }
    finished_ = true;
    return false;
  }

  [[nodiscard, gnu::cold]] bool fail(std::size_t at, Errc code, const std::string& what) {
    error_ = Error{code, at, what};
    return false;
  }

  void mend(std::size_t at, std::string_view what) {
    if (mends_ != nullptr) mends_->add(at, what);
  }

  static constexpr std::size_t k_search_bytes = 4096;

  ByteSpan file_;
  std::size_t at_ = 0;            // of the next chunk
  std::size_t declared_end_ = 0;  // of the current track
  bool clipped_ = false;          // the track claims more bytes than there are
  bool finished_ = false;
  bool repair_ = false;
  std::size_t tracks_ = 0;
  MidiHeader header_;
  MendList* mends_ = nullptr;
  std::optional<Error> error_;
};

}  // namespace v0
}  // namespace midigpt
